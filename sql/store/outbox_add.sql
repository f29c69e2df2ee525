INSERT INTO outbox (key, notice, kind, subject, body, channel, base, state, maybe_duplicate, created_at, changed_at)
VALUES (:key, :notice, :kind, :subject, :body, :channel, :base, 'PLANNED', :maybe_duplicate, :now, :now)
