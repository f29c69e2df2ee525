UPDATE orders SET parked_at = NULL, parked_reason = NULL, fact_seq = :seq WHERE order_id = :order_id
