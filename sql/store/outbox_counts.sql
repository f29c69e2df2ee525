SELECT state, count(*) FROM outbox WHERE state <> 'SENT' GROUP BY state
