SELECT id, kind, order_id, operation, base, key, payload, hash, state, attempt, send_by, deadline, boot_id, absent, absent_at,
       refused, reason, erp_id, erp_number, done_seq, remito_seq, not_before, undecided_since, created_at, changed_at, doubted,
       claimed_at, erp_day, undecided_ms, looked_at, timed_out, suspects, dismissed, waived
FROM attempts WHERE kind = 'movement' AND key = :key
