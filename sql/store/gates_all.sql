SELECT host, failures, not_before FROM gates ORDER BY host
