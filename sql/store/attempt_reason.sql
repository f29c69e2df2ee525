UPDATE attempts SET reason = :reason, refused = :refused, undecided_since = coalesce(undecided_since, :now) WHERE id = :id
