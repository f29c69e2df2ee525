-- Not the default: stock by bar code, as the first plan of this program had it, for
--   erp.dragonfish.sql.statements = { stock_many = "stock_plan.sql" }
-- It needs a column COCODIGO in COMB, which neither the product's data dictionary nor its own statements have: an
-- installation of the product answers "invalid column name", and every base is missing. It is kept for an installation
-- whose COMB has such a column, and to show that a statement can be replaced. Several bar codes of one variant add up;
-- two stock rows of one bar code do too, where the default refuses them.
SELECT E.CARTICUL, E.CCOLOR, E.CTALLE, SUM(C.COCANT) AS COCANT
FROM ZooLogic.EQUI AS E
INNER JOIN ZooLogic.COMB AS C ON C.COCODIGO = E.CCODIGO
WHERE
/*each*/ (E.CARTICUL = CAST(? AS char(15)) AND E.CCOLOR = CAST(? AS char(6)) AND E.CTALLE = CAST(? AS char(5))) /*or*/
GROUP BY E.CARTICUL, E.CCOLOR, E.CTALLE
