-- Orders with nothing left to do: invoiced or canceled, no effect open, every number looked at since the last fact.
UPDATE orders SET settled_at = :now
WHERE settled_at IS NULL AND parked_at IS NULL AND replan = 0
  AND (canceled_at IS NOT NULL
       OR (invoiced_at IS NOT NULL AND acknowledged_at IS NOT NULL AND (booked_at IS NOT NULL OR booked_before = 1 OR NOT EXISTS (
           SELECT 1 FROM lines l WHERE l.order_id = orders.order_id AND l.units > 0))))
  AND NOT EXISTS (SELECT 1 FROM attempts a WHERE a.order_id = orders.order_id AND a.state NOT IN ('DONE', 'CANCELED'))
  AND (:remito_needed = 0 OR NOT EXISTS (
       SELECT 1 FROM attempts a WHERE a.order_id = orders.order_id AND a.kind = 'movement' AND a.state = 'DONE'
          AND a.operation GLOB 'S*' AND a.remito_seq IS NULL AND orders.canceled_at IS NULL))
  AND NOT EXISTS (
       SELECT 1 FROM lines l LEFT JOIN pushes p ON p.sku = l.sku AND p.warehouse = l.warehouse
       WHERE l.order_id = orders.order_id AND l.live = 1
         AND (p.sku IS NULL OR p.due = 1 OR p.checked_seq <= orders.fact_seq))
RETURNING order_id
