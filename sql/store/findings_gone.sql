-- What a complete comparison no longer shows is gone.
DELETE FROM findings WHERE kind = :kind AND seen_at < :since
