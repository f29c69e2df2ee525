-- An order may have moved on in the time that was lost: read again, planned again.
UPDATE orders SET read_at = 0, replan = 1, not_before = 0 WHERE settled_at IS NULL
