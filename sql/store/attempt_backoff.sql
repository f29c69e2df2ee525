UPDATE attempts SET not_before = :not_before, absent = 0, absent_at = NULL, reason = coalesce(:reason, reason) WHERE id = :id
