-- Sales documents of the base that bear a text as their e-commerce number, counted by kind (11 remito, 23 order, 27
-- invoice …): a sign that a person has booked the sale. Wildcards in the text are escaped by an exclamation mark.
SELECT FACTTIPO, COUNT(*) AS DOCUMENTS
FROM ZooLogic.COMPROBANTEV
WHERE OPECOMM LIKE ? ESCAPE '!'
GROUP BY FACTTIPO
