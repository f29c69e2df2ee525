UPDATE orders SET replan = 1, not_before = 0, fact_seq = :seq WHERE order_id = :order_id
