UPDATE pushes SET checked_t = :checked_t, checked_seq = :checked_seq, checked_at = :now, absences = 0, note = :note,
    terms = :terms, failures = 0, due = due_seq >= :checked_seq OR due_t > :checked_t
WHERE sku = :sku AND warehouse = :warehouse
