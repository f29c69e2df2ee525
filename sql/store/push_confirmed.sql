UPDATE pushes SET published = :published, published_ver = :ver, pushed_t = :pushed_t, checked_t = :checked_t,
    checked_seq = :checked_seq, checked_at = :now, read_back_at = :now, inflight_until = 0, uncertain_until = :uncertain_until, failures = 0,
    mismatches = 0, absences = 0, not_before = 0, oversold = :oversold, note = NULL, terms = :terms,
    due = :bound <> 0 OR :uncertain_until <> 0 OR due_seq >= :checked_seq OR due_t > :checked_t
WHERE sku = :sku AND warehouse = :warehouse
