SELECT sku, base, stock, read_at FROM snapshots WHERE order_id = :order_id ORDER BY sku, base
