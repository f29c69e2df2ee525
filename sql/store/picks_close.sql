UPDATE picks SET open = 0 WHERE order_id = :order_id AND open = 1
