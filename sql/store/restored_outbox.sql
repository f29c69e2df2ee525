UPDATE outbox SET maybe_duplicate = 1 WHERE state IN ('PLANNED', 'SENDING', 'UNKNOWN')
