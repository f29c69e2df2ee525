-- One page of available stock, one row for each branch and product. The inner views find which rows stand on the page;
-- the function, which is slow, is asked for those only. Products of which no packaging is left are not there.
-- What the marks in comments mean stands in src/adapters/winthor/sql_text.rs.
-- Unverified: that the service leaves out products with a date of exclusion; the two chains of dates (taken as listed).
SELECT
    CAST(e.codfilial AS VARCHAR(2)),
    CAST(f.razaosocial AS VARCHAR(60)),
    p.codprod,
    p.codauxiliar,
    COALESCE(e.dtprimcompra, p.dtcadastro, DATE '1900-01-01'),
    COALESCE(e.dthoraultaltdisp, p.dtultalter, p.dtcadastro, DATE '1900-01-01'),
    /*swap available*/ pkg_estoque.estoque_disponivel(e.codprod, e.codfilial, CAST(/*=letter*/? AS VARCHAR(3))) /*end*/,
    CAST(CASE WHEN p.exibesemestoqueecommerce = 'S' THEN 'S' ELSE 'N' END AS VARCHAR(1))
FROM (
    SELECT
        t.codfilial,
        t.codprod,
        ROW_NUMBER() OVER (ORDER BY /*swap order*/ t.lastchange, t.codfilial, t.codprod /*end*/) rn
    FROM (
        SELECT
            e.codfilial,
            e.codprod,
            COALESCE(e.dtprimcompra, p.dtcadastro, DATE '1900-01-01') createdate,
            COALESCE(e.dthoraultaltdisp, p.dtultalter, p.dtcadastro, DATE '1900-01-01') lastchange
        FROM /*o*/pcest e
        INNER JOIN /*o*/pcprodut p ON p.codprod = e.codprod
        WHERE e.codfilial IN (/*each*/ CAST(/*=branch*/? AS VARCHAR(2)) /*,*/)
            AND p.dtexclusao IS NULL
            AND EXISTS (
                SELECT m.codprod
                FROM /*o*/pcembalagem m
                WHERE m.codfilial = e.codfilial
                    AND m.codprod = e.codprod
                    AND m.qtunit > 0
                    AND COALESCE(m.excluido, 'N') <> 'S'
                    /*if packagings_for_ecommerce*/ AND m.enviaecommerce = 'S' /*end*/
                    /*if packagings_active*/ AND m.dtinativo IS NULL /*end*/
            )
            /*if web*/ AND p.enviaecommerce = 'S' /*end*/
            /*if product*/ AND p.codprod = CAST(/*=product*/? AS DECIMAL(20, 0)) /*end*/
            /*if category*/ AND p.codcategoria = CAST(/*=category*/? AS DECIMAL(20, 0)) /*end*/
            /*if subcategory*/ AND p.codsubcategoria = CAST(/*=subcategory*/? AS DECIMAL(20, 0)) /*end*/
            /*if section*/ AND p.codsec = CAST(/*=section*/? AS DECIMAL(20, 0)) /*end*/
            /*if department*/ AND p.codepto = CAST(/*=department*/? AS DECIMAL(20, 0)) /*end*/
            /*if provider*/ AND p.codfornec = CAST(/*=provider*/? AS DECIMAL(20, 0)) /*end*/
            /*if resale*/ AND COALESCE(p.revenda, 'N') = 'S' /*end*/
            /*if not_resale*/ AND COALESCE(p.revenda, 'N') <> 'S' /*end*/
            /*if type*/ AND p.tipomerc IN (/*each*/ CAST(/*=type*/? AS VARCHAR(2)) /*,*/) /*end*/
    ) t
    /*if since*/ WHERE t.lastchange >= /*=since*/? /*end*/
) x
INNER JOIN /*o*/pcest e ON e.codfilial = x.codfilial AND e.codprod = x.codprod
INNER JOIN /*o*/pcprodut p ON p.codprod = x.codprod
LEFT JOIN /*o*/pcfilial f ON f.codigo = x.codfilial
WHERE x.rn > CAST(/*=after*/? AS DECIMAL(20, 0)) AND x.rn <= CAST(/*=upto*/? AS DECIMAL(20, 0))
ORDER BY x.rn
