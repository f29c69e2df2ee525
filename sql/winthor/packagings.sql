-- The packagings of some products in some branches, or of all: how many base units each holds. They belong to a branch.
SELECT
    CAST(m.codfilial AS VARCHAR(2)),
    m.codprod,
    m.codauxiliar,
    m.qtunit
FROM /*o*/pcembalagem m
WHERE m.codfilial IN (/*each*/ CAST(/*=branch*/? AS VARCHAR(2)) /*,*/)
    AND m.qtunit > 0
    AND COALESCE(m.excluido, 'N') <> 'S'
    /*if packagings_for_ecommerce*/ AND m.enviaecommerce = 'S' /*end*/
    /*if packagings_active*/ AND m.dtinativo IS NULL /*end*/
    /*if product*/ AND m.codprod IN (/*each*/ CAST(/*=product*/? AS DECIMAL(20, 0)) /*,*/) /*end*/
