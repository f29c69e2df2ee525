SELECT sku, warehouse, desired, ver, published, published_ver, pushed_t, checked_t, checked_seq, checked_at, due, due_seq, due_t,
       ack_t, bound, inflight_until, uncertain_until, boot_id, not_before, failures, mismatches, absences, oversold, note, terms
FROM pushes WHERE oversold = 1 ORDER BY sku, warehouse LIMIT :limit
