DELETE FROM orders WHERE order_id = :order_id AND settled_at IS NOT NULL
