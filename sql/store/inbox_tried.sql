UPDATE inbox SET tries = tries + 1, not_before = iif(heard_at = :heard_at, :not_before, not_before)
WHERE order_id = :order_id
RETURNING first_at, tries
