SELECT id, key, kind, subject, body, state, attempt, resends, maybe_duplicate, repeats, not_before, reason, created_at, changed_at, notice, channel, base, batch
FROM outbox AS told
WHERE kind = 'parked' AND created_at <= :before
  AND EXISTS (SELECT 1 FROM orders WHERE order_id = told.subject AND parked_at IS NOT NULL)
  AND NOT EXISTS (SELECT 1 FROM outbox AS more WHERE more.notice = told.notice AND more.channel = :channel)
GROUP BY notice ORDER BY id LIMIT :limit
