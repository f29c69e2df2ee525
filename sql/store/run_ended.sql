SELECT ended_at FROM runs WHERE stage = :stage
