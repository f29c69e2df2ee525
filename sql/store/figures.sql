SELECT (SELECT coalesce(max(id), 0) FROM push_log),
       (SELECT count(*) FROM attempts WHERE state NOT IN ('DONE', 'CANCELED') AND attempt > 1),
       (SELECT coalesce(sum(failures), 0) FROM pushes WHERE due = 1)
