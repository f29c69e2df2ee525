UPDATE orders SET replan = 1, parked_at = NULL, parked_reason = NULL, not_before = 0, fact_seq = :seq
WHERE settled_at IS NULL AND canceled_at IS NULL AND taken_at IS NOT NULL AND before_cutover = 0 AND order_id IN (SELECT order_id FROM lines WHERE sku = :sku AND live = 1)
