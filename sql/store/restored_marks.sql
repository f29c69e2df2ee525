DELETE FROM marks WHERE name IN ('sweep', 'ready_sweep', 'full')
