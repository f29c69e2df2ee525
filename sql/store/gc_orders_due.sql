SELECT order_id FROM orders WHERE settled_at < :before LIMIT :limit
