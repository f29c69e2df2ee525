-- The server's own clock, without a zone, to the second: where the next reading of changes begins.
SELECT CONVERT(char(19), GETDATE(), 126) AS now
