DELETE FROM snapshots WHERE order_id = :order_id
