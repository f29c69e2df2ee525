UPDATE attempts SET state = 'SENDING', attempt = attempt + 1, send_by = :send_by, deadline = :deadline, boot_id = :boot_id,
    absent = 0, absent_at = NULL, refused = 0, reason = NULL, undecided_since = NULL, undecided_ms = 0, looked_at = NULL,
    claimed_at = :now, changed_at = :now
WHERE id = :id AND state = 'PLANNED' AND attempt = :attempt
