INSERT INTO orders (order_id, status, stage, created_at, last_change, complete, workflow_in_error, has_package,
    before_cutover, delivery_date, pickup_point, reservations, problems, found_by, seen_at, read_at, fact_seq, taken_at,
    acknowledged_at, handling_seen_at, reservation_gone_at, invoiced_at, canceled_at, settled_at, stuck_since, replan)
VALUES (:order_id, :status, :stage, :created_at, :last_change, :complete, :workflow_in_error, :has_package,
    :before_cutover, :delivery_date, :pickup_point, :reservations, :problems, :found_by, :now, :now, :fact_seq, :taken_at,
    :acknowledged_at, :handling_seen_at, :reservation_gone_at, :invoiced_at, :canceled_at, :settled_at, :stuck_since,
    :replan)
ON CONFLICT (order_id) DO UPDATE SET
    status = excluded.status, stage = excluded.stage, created_at = excluded.created_at,
    last_change = excluded.last_change, complete = excluded.complete, workflow_in_error = excluded.workflow_in_error,
    has_package = excluded.has_package, delivery_date = excluded.delivery_date, pickup_point = excluded.pickup_point,
    reservations = excluded.reservations, problems = excluded.problems, read_at = excluded.read_at,
    fact_seq = excluded.fact_seq, taken_at = excluded.taken_at, acknowledged_at = excluded.acknowledged_at,
    handling_seen_at = excluded.handling_seen_at, reservation_gone_at = excluded.reservation_gone_at,
    invoiced_at = excluded.invoiced_at, canceled_at = excluded.canceled_at, settled_at = excluded.settled_at,
    stuck_since = excluded.stuck_since, replan = excluded.replan
