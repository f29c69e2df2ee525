SELECT sku, reference, override, erp_code, problem, name, kit, read_at, product FROM skus WHERE coalesce(override, reference) = :reference COLLATE NOCASE ORDER BY sku LIMIT 1
