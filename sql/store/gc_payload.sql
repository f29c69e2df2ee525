UPDATE attempts SET payload = NULL WHERE order_id = :order_id AND payload IS NOT NULL
