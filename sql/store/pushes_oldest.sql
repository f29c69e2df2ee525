SELECT min(checked_at) FROM pushes
