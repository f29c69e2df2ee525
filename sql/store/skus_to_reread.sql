SELECT sku, reference, override, erp_code, problem, name, kit, read_at, product FROM skus WHERE read_at < :before OR read_at > :now ORDER BY read_at LIMIT :limit
