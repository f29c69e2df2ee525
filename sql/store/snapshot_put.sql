INSERT INTO snapshots (order_id, sku, base, stock, read_at) VALUES (:order_id, :sku, :base, :stock, :now)
ON CONFLICT (order_id, sku, base) DO UPDATE SET stock = excluded.stock, read_at = excluded.read_at
