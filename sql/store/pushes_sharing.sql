-- The rows of the SKUs that share a SKU's stock, its own left out.
SELECT sku, warehouse, desired, ver, published, published_ver, pushed_t, checked_t, checked_seq, checked_at, due, due_seq, due_t,
       ack_t, bound, inflight_until, uncertain_until, boot_id, not_before, failures, mismatches, absences, oversold, note, terms
FROM pushes WHERE warehouse = :warehouse AND sku <> :sku
  AND sku IN (SELECT sku FROM skus WHERE product = (SELECT product FROM skus WHERE sku = :sku)) ORDER BY sku
