INSERT INTO pushes (sku, warehouse) VALUES (:sku, :warehouse) ON CONFLICT DO NOTHING
