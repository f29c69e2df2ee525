-- One row per order with a part in the number of a SKU in a warehouse. `start_seq` is when the reading began; in the
-- reading without the virtual depot (`by_remito`) a movement counts from its remito on. Units that a person has waived
-- stand in neither sum; an order that something before us has booked is excluded from the stock already.
SELECT l.order_id,
       CASE WHEN o.canceled_at IS NULL THEN max(l.units - coalesce((
                SELECT sum(al.units) FROM attempts a JOIN attempt_lines al ON al.attempt_id = a.id
                WHERE a.order_id = l.order_id AND a.kind = 'movement' AND a.operation GLOB 'S*' AND a.waived = 1
                  AND al.sku = l.sku AND al.warehouse = l.warehouse), 0), 0) ELSE 0 END AS present,
       o.acknowledged_at IS NOT NULL AND o.canceled_at IS NULL AS acknowledged,
       CASE WHEN o.booked_before = 1 THEN l.units ELSE
       coalesce((SELECT sum(al.units) FROM attempts a JOIN attempt_lines al ON al.attempt_id = a.id
                 WHERE a.order_id = l.order_id AND a.kind = 'movement' AND a.operation GLOB 'S*' AND a.state = 'DONE'
                   AND al.sku = l.sku AND al.warehouse = l.warehouse
                   AND CASE WHEN :by_remito THEN a.remito_seq ELSE a.done_seq END < :start_seq), 0) END AS out_done,
       coalesce((SELECT sum(al.units) FROM attempts a JOIN attempt_lines al ON al.attempt_id = a.id
                 WHERE a.order_id = l.order_id AND a.kind = 'movement' AND a.operation GLOB 'C*'
                   AND a.state IN ('SENDING', 'UNKNOWN', 'QUARANTINED', 'DONE')
                   AND al.sku = l.sku AND al.warehouse = l.warehouse), 0) AS in_live,
       coalesce((SELECT sum(al.units) FROM attempts a JOIN attempt_lines al ON al.attempt_id = a.id
                 WHERE a.order_id = l.order_id AND a.kind = 'movement' AND a.operation GLOB 'C*'
                   AND a.state = 'PLANNED'
                   AND al.sku = l.sku AND al.warehouse = l.warehouse), 0) AS in_planned,
       coalesce((SELECT sum(al.units) FROM attempts a JOIN attempt_lines al ON al.attempt_id = a.id
                 WHERE a.order_id = l.order_id AND a.kind = 'movement' AND a.operation GLOB 'S*'
                   AND a.state IN ('SENDING', 'UNKNOWN')
                   AND al.sku = l.sku AND al.warehouse = l.warehouse), 0) AS out_open
FROM lines l JOIN orders o ON o.order_id = l.order_id
WHERE l.sku = :sku AND l.warehouse = :warehouse AND l.live = 1
ORDER BY l.order_id
