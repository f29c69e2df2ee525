-- Live orders of a SKU and of those that share its stock.
SELECT DISTINCT l.order_id FROM lines l JOIN orders o ON o.order_id = l.order_id
WHERE l.live = 1 AND o.canceled_at IS NULL AND o.settled_at IS NULL
  AND (l.sku = :sku OR l.sku IN (SELECT sku FROM skus WHERE product = (SELECT product FROM skus WHERE sku = :sku)))
