INSERT INTO picks (order_id, sku, base, units, at) VALUES (:order_id, :sku, :base, :units, :now)
ON CONFLICT (order_id, sku, base) DO UPDATE SET units = excluded.units, at = excluded.at, open = 1
