UPDATE orders SET reserved_at = coalesce(reserved_at, :now), replan = :replan, not_before = 0, fact_seq = :seq
WHERE order_id = :order_id
