UPDATE instance SET generation = :generation, restored_at = :now, hold_until = :hold_until, hold_boot = :hold_boot,
    known_until = coalesce((SELECT max(ended_at) FROM runs), created_at)
WHERE id = 1
