UPDATE outbox SET state = :to_state, attempt = :attempt, resends = :resends, maybe_duplicate = :maybe_duplicate,
    not_before = :not_before, reason = :reason, batch = :batch, changed_at = :now
WHERE id = :id AND state = :from_state
