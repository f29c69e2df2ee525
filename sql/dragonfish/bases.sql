-- The databases of the installation and whether each can be read. The underscore is a wildcard, so it stands in brackets.
-- The product's own databases are among them and are left out by name (erp.dragonfish.sql.left_out).
SELECT name, state_desc
FROM sys.databases
WHERE name LIKE 'DRAGONFISH[_]%'
