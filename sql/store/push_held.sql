UPDATE pushes SET due = 1, note = :note, failures = failures + 1, not_before = :not_before, absences = :absences,
    mismatches = :mismatches
WHERE sku = :sku AND warehouse = :warehouse
