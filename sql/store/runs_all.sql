SELECT stage, run_id, started_at, ended_at, exit_code, counts, message FROM runs ORDER BY started_at
