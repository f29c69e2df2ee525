INSERT INTO rejects (at, source, subject, reason) VALUES (:now, :source, :subject, :reason)
ON CONFLICT (source, subject, reason) DO UPDATE SET at = excluded.at, times = times + 1
