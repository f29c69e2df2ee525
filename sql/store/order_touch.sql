UPDATE orders SET read_at = :now WHERE order_id = :order_id
