DELETE FROM inbox WHERE order_id = :order_id AND heard_at = :heard_at
