UPDATE orders SET booked_before = 1, fact_seq = :seq WHERE before_cutover = 1 AND settled_at IS NULL RETURNING order_id
