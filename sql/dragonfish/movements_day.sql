-- Movements of the base that stand on one day, as movements_text.sql shows them. The day comes twice.
SELECT
    M.CODIGO, M.NUMERO, M.DIRMOV, M.REMITO, LEFT(M.MOBS, 4000) AS MOBS, CAST(ISNULL(M.ANULADO, 0) AS int) AS ANULADO,
    CONVERT(char(10), M.FECHA, 126) AS FECHA, CONVERT(char(10), M.FALTAFW, 126) AS FALTAFW, M.HALTAFW,
    D.MART, D.CCOLOR, D.TALLE, D.CANTI
FROM ZooLogic.MSTOCK AS M
LEFT JOIN ZooLogic.DETMSTOCK AS D ON D.NUMR = M.CODIGO
WHERE M.FECHA >= CAST(? AS datetime) AND M.FECHA < DATEADD(day, 1, CAST(? AS datetime))
ORDER BY M.CODIGO, D.NROITEM
