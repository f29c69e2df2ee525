-- Nothing to publish for now (sold without limit, not mapped): looked at, not due.
UPDATE pushes SET note = :note, checked_at = :now, checked_seq = :seq, due = 0, failures = 0 WHERE sku = :sku AND warehouse = :warehouse
