SELECT sku, reference, override, erp_code, problem, name, kit, read_at FROM skus WHERE sku = :sku
