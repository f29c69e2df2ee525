-- The bar codes of one variant, and how many units one stands for. Several are normal; which one is shown is decided by
-- the program: the first that begins with a digit, else the longest.
SELECT CCODIGO, NCANTIDAD
FROM ZooLogic.EQUI
WHERE
    CARTICUL = CAST(? AS char(15))
    AND CCOLOR = CAST(? AS char(6))
    AND CTALLE = CAST(? AS char(5))
ORDER BY CCODIGO
