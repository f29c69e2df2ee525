INSERT INTO feed_events (handle, order_text, status, first_seen, tries) VALUES (:handle, :order_text, :status, :now, 1)
ON CONFLICT (handle) DO UPDATE SET tries = tries + 1
RETURNING first_seen, tries
