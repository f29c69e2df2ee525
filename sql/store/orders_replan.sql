-- Orders whose reservation must be looked at, oldest first.
SELECT order_id, status, stage, created_at, last_change, complete, workflow_in_error, has_package, before_cutover,
       delivery_date, pickup_point, reservations, problems, found_by, seen_at, read_at, fact_seq, taken_at, reserved_at,
       booked_at, acknowledged_at, handling_seen_at, reservation_gone_at, invoiced_at, canceled_at, settled_at, parked_at,
       parked_reason, stuck_since, replan, not_before, booked_before, searched_generation
FROM orders WHERE replan = 1 AND (not_before <= :by OR not_before > :absurd) ORDER BY seen_at LIMIT :limit
