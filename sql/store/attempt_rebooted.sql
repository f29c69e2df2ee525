UPDATE attempts SET deadline = :deadline, boot_id = :boot_id, absent = 0, absent_at = NULL WHERE id = :id
