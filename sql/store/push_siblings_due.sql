-- What takes units of a product changes the numbers of all its packagings.
UPDATE pushes SET due = 1, due_seq = max(due_seq, :seq), due_t = max(due_t, :t), not_before = 0
WHERE warehouse = :warehouse AND sku <> :sku
  AND sku IN (SELECT sku FROM skus WHERE product = (SELECT product FROM skus WHERE sku = :sku))
