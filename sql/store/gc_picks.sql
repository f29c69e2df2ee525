DELETE FROM picks WHERE order_id = :order_id
