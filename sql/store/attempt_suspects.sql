UPDATE attempts SET suspects = :suspects, timed_out = :timed_out WHERE id = :id
