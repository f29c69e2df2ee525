SELECT sku, warehouse, desired, ver, published, published_ver, pushed_t, checked_t, checked_seq, checked_at, due, due_seq, due_t,
       ack_t, bound, inflight_until, uncertain_until, boot_id, not_before, failures, mismatches, absences, oversold, note, terms
FROM pushes WHERE published IS NOT NULL AND due = 0 AND (read_back_at < :before OR read_back_at > :now)
ORDER BY read_back_at, sku, warehouse LIMIT :limit
