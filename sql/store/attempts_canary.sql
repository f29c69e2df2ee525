SELECT id, kind, order_id, operation, base, key, payload, hash, state, attempt, send_by, deadline, boot_id, absent, absent_at,
       refused, reason, erp_id, erp_number, done_seq, remito_seq, not_before, undecided_since, created_at, changed_at, doubted
FROM attempts WHERE kind = 'movement' AND state = 'DONE' AND base = :base ORDER BY done_seq DESC LIMIT 5
