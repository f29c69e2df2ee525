INSERT INTO lines (order_id, sku, warehouse, units, live) VALUES (:order_id, :sku, :warehouse, :units, :live)
ON CONFLICT (order_id, sku, warehouse) DO UPDATE SET units = excluded.units, live = excluded.live
