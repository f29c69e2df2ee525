SELECT sku, warehouse, desired, ver, published, published_ver, pushed_t, checked_t, checked_seq, checked_at, due, due_seq, due_t,
       ack_t, bound, inflight_until, uncertain_until, boot_id, not_before, failures, mismatches, absences, oversold, note, terms
FROM pushes WHERE due = 1 AND (not_before <= :by OR not_before > :absurd) ORDER BY checked_at, sku, warehouse LIMIT :limit
