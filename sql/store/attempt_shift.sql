-- The one way an effect changes its state: compare-and-set on id, state and attempt.
UPDATE attempts SET state = :to_state, changed_at = :now
WHERE id = :id AND state = :from_state AND attempt = :attempt
