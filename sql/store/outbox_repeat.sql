UPDATE outbox SET repeats = repeats + 1 WHERE id = :id
