UPDATE attempts SET absent = 1, absent_at = :absent_at WHERE id = :id
