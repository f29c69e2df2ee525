SELECT sku, warehouse, units, reserved, live FROM lines WHERE order_id = :order_id ORDER BY sku, warehouse
