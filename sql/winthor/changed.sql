-- Products whose available stock, or whose own record, changed since an instant of the database's clock.
-- Unverified: that the product stamps DTHORAULTALTDISP whenever the available quantity changes, as its name says. What
-- does not show here is found by the full comparison (push.full_every).
SELECT DISTINCT p.codprod, p.codauxiliar
FROM /*o*/pcest e
INNER JOIN /*o*/pcprodut p ON p.codprod = e.codprod
WHERE e.codfilial IN (/*each*/ CAST(/*=branch*/? AS VARCHAR(2)) /*,*/)
    AND (
        COALESCE(e.dthoraultaltdisp, p.dtultalter, p.dtcadastro, DATE '1900-01-01') >= /*=since*/?
        OR p.dtultalter >= /*=since*/?
    )
