UPDATE orders SET not_before = :until WHERE order_id = :order_id AND fact_seq = :fact_seq
