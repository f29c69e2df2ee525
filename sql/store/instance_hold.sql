UPDATE instance SET hold_until = :hold_until, hold_boot = :hold_boot WHERE id = 1
