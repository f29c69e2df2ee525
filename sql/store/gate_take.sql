INSERT INTO gates (host, minute, taken) VALUES (:host, :minute, :taken)
ON CONFLICT (host) DO UPDATE SET minute = excluded.minute, taken = excluded.taken
