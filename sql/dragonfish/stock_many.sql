-- Stock of some variants of the base that the connection names. The part between the marks is repeated once for each
-- variant. The casts keep the index on fixed-length columns: drivers send values as nvarchar.
SELECT COART, COCOL, TALLE, COCANT
FROM ZooLogic.COMB
WHERE
/*each*/ (COART = CAST(? AS char(15)) AND COCOL = CAST(? AS char(6)) AND TALLE = CAST(? AS char(5))) /*or*/
