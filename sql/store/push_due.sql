INSERT INTO pushes (sku, warehouse, due, due_seq, due_t, ack_t)
VALUES (:sku, :warehouse, 1, :seq, :t, :ack_t)
ON CONFLICT (sku, warehouse) DO UPDATE SET due = 1, due_seq = max(due_seq, excluded.due_seq),
    due_t = max(due_t, excluded.due_t), ack_t = max(ack_t, excluded.ack_t), not_before = 0
