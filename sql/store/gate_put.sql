INSERT INTO gates (host, failures, not_before) VALUES (:host, :failures, :not_before)
ON CONFLICT (host) DO UPDATE SET failures = excluded.failures, not_before = excluded.not_before
