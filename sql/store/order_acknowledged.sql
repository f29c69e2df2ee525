UPDATE orders SET acknowledged_at = :acknowledged_at, fact_seq = :seq WHERE order_id = :order_id
