SELECT count(*) FROM orders WHERE settled_at IS NOT NULL
