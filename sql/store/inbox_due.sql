SELECT order_id, heard_at, tries FROM inbox WHERE not_before <= :by OR not_before > :absurd
ORDER BY not_before, heard_at LIMIT :limit
