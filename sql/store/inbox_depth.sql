SELECT count(*), min(first_at), min(not_before) FROM inbox
