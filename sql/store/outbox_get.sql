SELECT id, key, kind, subject, body, state, attempt, resends, maybe_duplicate, repeats, not_before, reason, created_at, changed_at, notice, channel, base, batch FROM outbox WHERE key = :key
