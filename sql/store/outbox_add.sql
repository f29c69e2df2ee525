INSERT INTO outbox (key, kind, subject, body, state, maybe_duplicate, created_at, changed_at)
VALUES (:key, :kind, :subject, :body, 'PLANNED', :maybe_duplicate, :now, :now)
