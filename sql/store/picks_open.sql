SELECT base, sum(units) FROM picks WHERE sku = :sku AND open = 1 AND at >= :since AND order_id <> :order_id GROUP BY base
