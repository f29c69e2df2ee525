-- The storefront holds numbers of the lost time, and a write of that time may still arrive.
UPDATE pushes SET due = 1, published = NULL, published_ver = -1, pushed_t = 0, checked_t = 0, checked_seq = 0, checked_at = 0,
    inflight_until = :hold_until, boot_id = :hold_boot, not_before = 0, failures = 0, mismatches = 0, absences = 0
