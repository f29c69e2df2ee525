SELECT sku, reference, override, erp_code, problem, name, kit, read_at, product FROM skus WHERE sku = :sku
