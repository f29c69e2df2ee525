-- The package's figure beside the parts of the formulas, for a few rows; those with pending units come first, since they
-- alone tell the formulas apart.
SELECT
    CAST(e.codfilial AS VARCHAR(2)),
    e.codprod,
    /*swap package*/ pkg_estoque.estoque_disponivel(e.codprod, e.codfilial, CAST(/*=letter*/? AS VARCHAR(3))) /*end*/,
    COALESCE(e.qtestger, 0) - COALESCE(e.qtreserv, 0) - COALESCE(e.qtbloqueada, 0),
    COALESCE(e.qtpendente, 0)
FROM (
    SELECT
        s.codfilial,
        s.codprod,
        ROW_NUMBER() OVER (
            ORDER BY CASE WHEN COALESCE(s.qtpendente, 0) <> 0 THEN 0 ELSE 1 END, s.codfilial, s.codprod
        ) rn
    FROM /*o*/pcest s
    WHERE s.codfilial IN (/*each*/ CAST(/*=branch*/? AS VARCHAR(2)) /*,*/)
) x
INNER JOIN /*o*/pcest e ON e.codfilial = x.codfilial AND e.codprod = x.codprod
WHERE x.rn <= CAST(/*=upto*/? AS DECIMAL(20, 0))
