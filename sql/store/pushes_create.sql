INSERT INTO pushes (sku, warehouse) SELECT sku, :warehouse FROM skus WHERE erp_code IS NOT NULL ON CONFLICT DO NOTHING
