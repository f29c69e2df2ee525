SELECT state, count(*) FROM attempts WHERE state NOT IN ('DONE', 'CANCELED') GROUP BY state
