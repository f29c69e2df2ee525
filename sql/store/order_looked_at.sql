UPDATE orders SET replan = 0, not_before = 0 WHERE order_id = :order_id AND fact_seq = :fact_seq
