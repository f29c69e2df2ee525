SELECT taken_at, reserved_at, booked_at, acknowledged_at, settled_at, canceled_at, parked_at, before_cutover, seen_at
FROM orders WHERE settled_at IS NULL
