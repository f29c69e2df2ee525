INSERT INTO instance (id, instance_id, account, erp, created_at) VALUES (1, :instance_id, :account, :erp, :now)
