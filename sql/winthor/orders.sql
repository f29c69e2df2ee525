-- What the ERP holds of some orders of the store, one row for each line; canceled ones are among them.
-- Unverified: the column that bears the store's id (order_column); that QT counts base units; that a line's goods come
-- from the branch of withdrawal where one is named.
SELECT
    CAST(c./*swap order_column*/numpedmktplace/*end*/ AS VARCHAR(150)),
    c.numped,
    CAST(c.posicao AS VARCHAR(2)),
    CAST(COALESCE(i.codfilialretira, c.codfilial) AS VARCHAR(2)),
    i.codprod,
    i.qt
FROM /*o*/pcpedc c
INNER JOIN /*o*/pcpedi i ON i.numped = c.numped
WHERE c./*swap order_column*/numpedmktplace/*end*/ IN (/*each*/ CAST(/*=order*/? AS VARCHAR(150)) /*,*/)
