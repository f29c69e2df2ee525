UPDATE counter SET seq = max(seq, :seq) + 1 WHERE id = 1
