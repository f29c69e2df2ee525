DELETE FROM lines WHERE order_id = :order_id
