DELETE FROM outbox WHERE id IN (SELECT id FROM outbox WHERE state = 'SENT' AND repeats = 0 AND changed_at < :before LIMIT :limit)
