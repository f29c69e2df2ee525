UPDATE attempts SET waived = 1 WHERE id = :id
