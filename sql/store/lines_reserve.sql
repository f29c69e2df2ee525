UPDATE lines SET reserved = units WHERE order_id = :order_id
