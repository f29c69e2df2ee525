-- Stock of every variant of the base that the connection names, read as one stream.
SELECT COART, COCOL, TALLE, COCANT
FROM ZooLogic.COMB
