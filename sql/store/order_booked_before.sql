UPDATE orders SET booked_before = 1, fact_seq = :seq WHERE order_id = :order_id
