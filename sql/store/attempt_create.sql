INSERT INTO attempts (kind, order_id, operation, base, key, payload, hash, state, created_at, changed_at)
VALUES (:kind, :order_id, :operation, :base, :key, :payload, :hash, :state, :now, :now) RETURNING id
