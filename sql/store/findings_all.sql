SELECT kind, subject, detail, correction, first_at FROM findings ORDER BY first_at, kind, subject LIMIT :limit
