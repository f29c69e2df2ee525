SELECT count(*) FROM pushes WHERE due = 1
