INSERT INTO skus (sku, reference, override, erp_code, problem, name, kit, read_at)
VALUES (:sku, :reference, :override, :erp_code, :problem, :name, :kit, :read_at)
ON CONFLICT (sku) DO UPDATE SET reference = excluded.reference, override = excluded.override,
    erp_code = excluded.erp_code, problem = excluded.problem, name = coalesce(excluded.name, name), kit = excluded.kit,
    read_at = excluded.read_at
