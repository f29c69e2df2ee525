-- Open orders of a SKU that may be put into handling by hand at any moment.
SELECT o.order_id FROM lines l JOIN orders o ON o.order_id = l.order_id
WHERE l.sku = :sku AND l.live = 1 AND o.acknowledged_at IS NULL AND o.canceled_at IS NULL AND o.settled_at IS NULL
