DELETE FROM push_log WHERE id IN (SELECT id FROM push_log WHERE at < :before LIMIT :limit)
