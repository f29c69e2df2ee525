SELECT sku, warehouse, units FROM attempt_lines WHERE attempt_id = :attempt_id ORDER BY sku, warehouse
