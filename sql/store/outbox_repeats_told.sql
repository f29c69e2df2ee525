UPDATE outbox SET repeats = 0 WHERE repeats > 0
