-- Whether the login may change stock in the base that the connection names: 1, 0, or NULL when there is no such table
-- for it. It should be 0.
SELECT HAS_PERMS_BY_NAME('ZooLogic.COMB', 'OBJECT', 'UPDATE') AS can_write
