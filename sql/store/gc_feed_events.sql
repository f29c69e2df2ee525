DELETE FROM feed_events WHERE handle IN (SELECT handle FROM feed_events WHERE committed_at < :before LIMIT :limit)
