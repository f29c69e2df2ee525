INSERT INTO runs (stage, run_id, started_at, ended_at, exit_code, counts, message)
VALUES (:stage, :run_id, :started_at, :ended_at, :exit_code, :counts, :message)
ON CONFLICT (stage) DO UPDATE SET run_id = excluded.run_id, started_at = excluded.started_at,
    ended_at = excluded.ended_at, exit_code = excluded.exit_code, counts = excluded.counts, message = excluded.message
