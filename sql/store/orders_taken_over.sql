UPDATE orders SET before_cutover = 0, replan = 1, fact_seq = :seq
WHERE before_cutover = 1 AND booked_before = 0 AND settled_at IS NULL RETURNING order_id
