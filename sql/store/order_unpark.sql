-- An order leaves the park only when none of its effects keeps it there.
UPDATE orders SET parked_at = NULL, parked_reason = NULL, fact_seq = :seq
WHERE order_id = :order_id AND NOT EXISTS (
    SELECT 1 FROM attempts a WHERE a.order_id = :order_id AND a.state IN ('REJECTED', 'QUARANTINED'))
