SELECT sku, reference, override, erp_code, problem, name, kit, read_at, product FROM skus WHERE erp_code IS NOT NULL ORDER BY sku
