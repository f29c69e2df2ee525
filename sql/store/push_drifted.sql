-- Somebody else wrote the number: it is published anew.
UPDATE pushes SET published = :seen, due = 1, not_before = 0, note = :note, read_back_at = :now
WHERE sku = :sku AND warehouse = :warehouse AND due = 0 AND published = :published
