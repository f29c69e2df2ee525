SELECT seq FROM counter WHERE id = 1
