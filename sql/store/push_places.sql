SELECT sku, warehouse FROM pushes WHERE sku IN (SELECT sku FROM skus WHERE erp_code IS NOT NULL)
ORDER BY checked_at, failures, sku, warehouse
