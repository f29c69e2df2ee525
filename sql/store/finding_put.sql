INSERT INTO findings (kind, subject, detail, correction, first_at, seen_at)
VALUES (:kind, :subject, :detail, :correction, :now, :now)
ON CONFLICT (kind, subject) DO UPDATE SET detail = excluded.detail, correction = excluded.correction,
    seen_at = excluded.seen_at
