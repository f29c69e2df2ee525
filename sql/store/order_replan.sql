UPDATE orders SET replan = :replan, not_before = :not_before WHERE order_id = :order_id
