-- A person says that it was not booked: what was suspected is something else, and it is looked for before it is sent.
UPDATE attempts SET dismissed = :dismissed, suspects = '[]', doubted = 1, undecided_ms = 0, looked_at = NULL, timed_out = 0,
    not_before = 0, absent = 0, absent_at = NULL
WHERE id = :id
