UPDATE attempts SET undecided_ms = :undecided_ms, looked_at = :now WHERE id = :id
