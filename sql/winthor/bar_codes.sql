-- The products that some bar codes stand for: those of packagings in some branches, and the products' own.
SELECT m.codauxiliar, m.codprod
FROM /*o*/pcembalagem m
WHERE m.codfilial IN (/*each*/ CAST(/*=branch*/? AS VARCHAR(2)) /*,*/)
    AND m.codauxiliar IN (/*each*/ CAST(/*=bar_code*/? AS DECIMAL(20, 0)) /*,*/)
UNION
SELECT p.codauxiliar, p.codprod
FROM /*o*/pcprodut p
WHERE p.codauxiliar IN (/*each*/ CAST(/*=bar_code*/? AS DECIMAL(20, 0)) /*,*/)
