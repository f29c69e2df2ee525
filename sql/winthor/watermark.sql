-- The latest change that any row bears, so that no two clocks are compared. A row from the far future, as a wrong date
-- on some till makes it, is not believed.
SELECT MAX(e.dthoraultaltdisp)
FROM /*o*/pcest e
WHERE e.codfilial IN (/*each*/ CAST(/*=branch*/? AS VARCHAR(2)) /*,*/)
    AND e.dthoraultaltdisp < /*=until*/?
