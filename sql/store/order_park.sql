UPDATE orders SET parked_at = coalesce(parked_at, :now), parked_reason = :reason, fact_seq = :seq
WHERE order_id = :order_id
