SELECT at, source, subject, reason, times FROM rejects ORDER BY at DESC LIMIT :limit
