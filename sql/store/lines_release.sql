UPDATE lines SET reserved = 0 WHERE order_id = :order_id
