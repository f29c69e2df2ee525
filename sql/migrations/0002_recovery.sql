-- What is needed to survive an old or foreign state file, to call a person at the right time and to take back what a
-- person decided, and to compare the books with the other sides every day.

-- The machine this memory was made on; when it was last found to be an old copy, how far that copy knew the world, and
-- until which time since boot nothing may be booked because a write of the lost time may still take effect.
ALTER TABLE instance ADD COLUMN machine     TEXT;
ALTER TABLE instance ADD COLUMN restored_at INTEGER;
ALTER TABLE instance ADD COLUMN known_until INTEGER;
ALTER TABLE instance ADD COLUMN hold_until  INTEGER NOT NULL DEFAULT 0;
ALTER TABLE instance ADD COLUMN hold_boot   TEXT    NOT NULL DEFAULT '';

-- When a claim was made, in wall time; the ERP's day of a booked movement; how long a look at the ERP was answered and
-- decided nothing, and when it was last looked at; whether only that time called a person.
ALTER TABLE attempts ADD COLUMN claimed_at   INTEGER;
ALTER TABLE attempts ADD COLUMN erp_day      TEXT;
ALTER TABLE attempts ADD COLUMN undecided_ms INTEGER NOT NULL DEFAULT 0 CHECK (undecided_ms >= 0);
ALTER TABLE attempts ADD COLUMN looked_at    INTEGER;
ALTER TABLE attempts ADD COLUMN timed_out    INTEGER NOT NULL DEFAULT 0 CHECK (timed_out IN (0, 1));
-- The ERP's rows that called a person, and those a person has said to be something else.
ALTER TABLE attempts ADD COLUMN suspects     TEXT    NOT NULL DEFAULT '[]';
ALTER TABLE attempts ADD COLUMN dismissed    TEXT    NOT NULL DEFAULT '[]';
-- Canceled by a person on a live order: its units count as booked for planning, and in neither sum.
ALTER TABLE attempts ADD COLUMN waived       INTEGER NOT NULL DEFAULT 0 CHECK (waived IN (0, 1));

-- Placed before the cut-over and booked by what came before us, says a person; the generation of this memory in which
-- the ERP was searched for movements of the order that this memory has lost.
ALTER TABLE orders ADD COLUMN booked_before       INTEGER NOT NULL DEFAULT 0 CHECK (booked_before IN (0, 1));
ALTER TABLE orders ADD COLUMN searched_generation INTEGER NOT NULL DEFAULT 1;

-- When the storefront's number was last read back apart from a push.
ALTER TABLE pushes ADD COLUMN read_back_at INTEGER NOT NULL DEFAULT 0;
CREATE INDEX pushes_read_back ON pushes (read_back_at) WHERE published IS NOT NULL AND due = 0;

-- Differences between the books here and on the other side that a person must look at, until they are gone.
CREATE TABLE findings (
    kind       TEXT    NOT NULL,
    subject    TEXT    NOT NULL,
    detail     TEXT    NOT NULL,
    correction TEXT    NOT NULL,
    first_at   INTEGER NOT NULL,
    seen_at    INTEGER NOT NULL,
    PRIMARY KEY (kind, subject)
) STRICT, WITHOUT ROWID;

-- A notice, too, changes its state only along the ways of the protocol.
CREATE TRIGGER outbox_transition BEFORE UPDATE OF state ON outbox
WHEN NEW.state <> OLD.state AND (OLD.state || ' ' || NEW.state) NOT IN (
    'PLANNED SENDING', 'SENDING SENT', 'SENDING PLANNED', 'SENDING UNKNOWN', 'SENDING QUARANTINED', 'UNKNOWN PLANNED',
    'UNKNOWN QUARANTINED', 'QUARANTINED PLANNED', 'QUARANTINED SENT')
BEGIN
    SELECT RAISE(ABORT, 'a notice cannot change its state so');
END;
CREATE INDEX attempts_day ON attempts (base, erp_day) WHERE kind = 'movement' AND state = 'DONE' AND erp_day IS NOT NULL;
