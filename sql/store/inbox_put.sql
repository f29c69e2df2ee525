INSERT INTO inbox (order_id, heard_at, first_at) VALUES (:order_id, :now, :now)
ON CONFLICT (order_id) DO UPDATE SET heard_at = max(excluded.heard_at, heard_at + 1), not_before = 0
