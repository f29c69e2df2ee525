SELECT channel, kind, subject, repeats FROM outbox WHERE repeats > 0 ORDER BY kind, subject, channel
