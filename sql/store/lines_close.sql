UPDATE lines SET live = 0 WHERE order_id = :order_id
