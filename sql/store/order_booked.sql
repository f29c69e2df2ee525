UPDATE orders SET booked_at = :booked_at, fact_seq = :seq WHERE order_id = :order_id
