-- The intent of a stock write, durable before it is sent.
UPDATE pushes SET desired = :desired, ver = :ver, bound = :bound, inflight_until = :inflight_until,
    uncertain_until = :uncertain_until, boot_id = :boot_id
WHERE sku = :sku AND warehouse = :warehouse
