INSERT INTO instance (id, instance_id, account, erp, machine, created_at)
VALUES (1, :instance_id, :account, :erp, :machine, :now)
