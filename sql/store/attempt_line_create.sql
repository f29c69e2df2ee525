INSERT INTO attempt_lines (attempt_id, sku, warehouse, units) VALUES (:attempt_id, :sku, :warehouse, :units)
