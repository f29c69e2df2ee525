-- Which of some branches there are, and their names.
SELECT CAST(f.codigo AS VARCHAR(2)), CAST(f.razaosocial AS VARCHAR(60))
FROM /*o*/pcfilial f
WHERE f.codigo IN (/*each*/ CAST(/*=branch*/? AS VARCHAR(2)) /*,*/)
