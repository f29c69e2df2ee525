-- Whether an order of the SKU may have moved on in a time that this memory has lost, and was not looked for yet.
SELECT EXISTS (
    SELECT 1 FROM lines l JOIN orders o ON o.order_id = l.order_id
    WHERE l.sku = :sku AND l.warehouse = :warehouse AND l.live = 1 AND o.before_cutover = 0 AND o.settled_at IS NULL
      AND (o.taken_at IS NOT NULL OR o.canceled_at IS NOT NULL)
      AND o.searched_generation < (SELECT generation FROM instance))
