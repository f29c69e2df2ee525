UPDATE attempts SET erp_id = :erp_id, erp_number = :erp_number, reason = :reason, done_seq = :seq WHERE id = :id
