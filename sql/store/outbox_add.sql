INSERT INTO outbox (key, kind, subject, body, state, created_at, changed_at)
VALUES (:key, :kind, :subject, :body, 'PLANNED', :now, :now)
