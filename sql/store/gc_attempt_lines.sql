DELETE FROM attempt_lines WHERE attempt_id IN (SELECT id FROM attempts WHERE order_id = :order_id)
