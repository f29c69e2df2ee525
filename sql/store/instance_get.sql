SELECT instance_id, account, erp, generation, machine, created_at, restored_at, known_until, hold_until, hold_boot
FROM instance WHERE id = 1
