SELECT sku, reference, override, erp_code, problem, name, kit, read_at FROM skus WHERE read_at < :before ORDER BY read_at LIMIT :limit
