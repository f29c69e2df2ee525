SELECT instance_id, account, erp, generation FROM instance WHERE id = 1
