DELETE FROM rejects WHERE id IN (SELECT id FROM rejects WHERE at < :before LIMIT :limit)
