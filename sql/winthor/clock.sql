-- The session's clock in the database; asked only where erp.winthor.sql.changes_clock says so. Oracle answers in the
-- session's zone (ORA_SDTZ), not in that of the rows: a statement of one's own may say SELECT SYSDATE FROM DUAL.
SELECT MAX(LOCALTIMESTAMP)
FROM /*o*/pcfilial f
