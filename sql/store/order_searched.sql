UPDATE orders SET searched_generation = :generation WHERE order_id = :order_id
