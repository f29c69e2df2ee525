-- Available stock of some products in some branches, or of all, read as one stream.
SELECT
    CAST(e.codfilial AS VARCHAR(2)),
    p.codprod,
    p.codauxiliar,
    /*swap available*/ pkg_estoque.estoque_disponivel(e.codprod, e.codfilial, CAST(/*=letter*/? AS VARCHAR(3))) /*end*/,
    CAST(CASE WHEN p.exibesemestoqueecommerce = 'S' THEN 'S' ELSE 'N' END AS VARCHAR(1))
FROM /*o*/pcest e
INNER JOIN /*o*/pcprodut p ON p.codprod = e.codprod
WHERE e.codfilial IN (/*each*/ CAST(/*=branch*/? AS VARCHAR(2)) /*,*/)
    AND p.dtexclusao IS NULL
    /*if web*/ AND p.enviaecommerce = 'S' /*end*/
    /*if product*/ AND e.codprod IN (/*each*/ CAST(/*=product*/? AS DECIMAL(20, 0)) /*,*/) /*end*/
    /*if category*/ AND p.codcategoria = CAST(/*=category*/? AS DECIMAL(20, 0)) /*end*/
    /*if subcategory*/ AND p.codsubcategoria = CAST(/*=subcategory*/? AS DECIMAL(20, 0)) /*end*/
    /*if section*/ AND p.codsec = CAST(/*=section*/? AS DECIMAL(20, 0)) /*end*/
    /*if department*/ AND p.codepto = CAST(/*=department*/? AS DECIMAL(20, 0)) /*end*/
    /*if provider*/ AND p.codfornec = CAST(/*=provider*/? AS DECIMAL(20, 0)) /*end*/
    /*if resale*/ AND COALESCE(p.revenda, 'N') = 'S' /*end*/
    /*if not_resale*/ AND COALESCE(p.revenda, 'N') <> 'S' /*end*/
    /*if type*/ AND p.tipomerc IN (/*each*/ CAST(/*=type*/? AS VARCHAR(2)) /*,*/) /*end*/
