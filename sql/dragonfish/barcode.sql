-- The variant that a bar code stands for, and how many units of it.
SELECT CARTICUL, CCOLOR, CTALLE, NCANTIDAD
FROM ZooLogic.EQUI
WHERE CCODIGO = CAST(? AS char(20))
