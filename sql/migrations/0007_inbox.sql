-- Orders that the storefront's hook told of and that were not read since: one row for each order, however often it was
-- told. Only a hint; `poll` reads the order itself and removes the row in the transaction that records it.
CREATE TABLE inbox (
    order_id   TEXT    PRIMARY KEY,
    -- When it was last told, and later than any time before: a row that changed while its order was read stays.
    heard_at   INTEGER NOT NULL,
    first_at   INTEGER NOT NULL,
    tries      INTEGER NOT NULL DEFAULT 0 CHECK (tries >= 0),
    not_before INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
CREATE INDEX inbox_due ON inbox (not_before, heard_at);
