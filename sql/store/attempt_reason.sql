UPDATE attempts SET reason = :reason, refused = :refused, doubted = 1, undecided_since = coalesce(undecided_since, :now) WHERE id = :id
