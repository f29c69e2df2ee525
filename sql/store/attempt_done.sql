UPDATE attempts SET erp_id = :erp_id, erp_number = :erp_number, erp_day = :erp_day, reason = :reason, done_seq = :seq,
    suspects = '[]', timed_out = 0
WHERE id = :id
