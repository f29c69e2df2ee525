-- Movements of the base that bear a text in their note or reference, one row for each line, annulled ones included: the
-- service does not tell which those are. The text comes twice, with its wildcards escaped by an exclamation mark.
-- Unverified: the names and forms of the audit columns FALTAFW (a date) and HALTAFW (HH:MM:SS).
SELECT
    M.CODIGO, M.NUMERO, M.DIRMOV, M.REMITO, LEFT(M.MOBS, 4000) AS MOBS, CAST(ISNULL(M.ANULADO, 0) AS int) AS ANULADO,
    CONVERT(char(10), M.FECHA, 126) AS FECHA, CONVERT(char(10), M.FALTAFW, 126) AS FALTAFW, M.HALTAFW,
    D.MART, D.CCOLOR, D.TALLE, D.CANTI
FROM ZooLogic.MSTOCK AS M
LEFT JOIN ZooLogic.DETMSTOCK AS D ON D.NUMR = M.CODIGO
WHERE M.MOBS LIKE ? ESCAPE '!' OR M.REMITO LIKE ? ESCAPE '!'
ORDER BY M.CODIGO, D.NROITEM
