-- The memory of stockbridge. Instants are integers, milliseconds of UTC; times "since boot" are milliseconds of the
-- machine's monotonic clock and mean nothing under another boot id. Quantities of the ERP are decimal texts, units of
-- the storefront are integers.

-- Whose memory this is: one row. A file that belongs to another account or ERP is refused.
CREATE TABLE instance (
    id          INTEGER PRIMARY KEY CHECK (id = 1),
    instance_id TEXT    NOT NULL,
    account     TEXT    NOT NULL,
    erp         TEXT    NOT NULL,
    created_at  INTEGER NOT NULL,
    generation  INTEGER NOT NULL DEFAULT 1
) STRICT;

-- The counter that orders local events, which the clock must not do: one row.
CREATE TABLE counter (
    id  INTEGER PRIMARY KEY CHECK (id = 1),
    seq INTEGER NOT NULL CHECK (seq >= 0)
) STRICT;
INSERT INTO counter (id, seq) VALUES (1, 0);

-- Small facts by name: when the last sweep ended, when gc ran.
CREATE TABLE marks (
    name  TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT;

-- Orders: the storefront's document reduced to what is used, and the facts with their instants. The state is derived.
CREATE TABLE orders (
    order_id            TEXT    PRIMARY KEY,
    status              TEXT    NOT NULL,
    stage               TEXT    NOT NULL CHECK (stage IN ('unknown', 'early', 'ready', 'handling-requested', 'handling',
                                'invoicing', 'invoiced', 'cancel-requested', 'canceling', 'canceled')),
    created_at          INTEGER,
    last_change         INTEGER,
    complete            INTEGER NOT NULL CHECK (complete IN (0, 1)),
    workflow_in_error   INTEGER NOT NULL CHECK (workflow_in_error IN (0, 1)),
    has_package         INTEGER NOT NULL CHECK (has_package IN (0, 1)),
    before_cutover      INTEGER NOT NULL CHECK (before_cutover IN (0, 1)),
    delivery_date       INTEGER,
    pickup_point        TEXT,
    reservations        TEXT    NOT NULL DEFAULT '[]',
    problems            TEXT    NOT NULL DEFAULT '[]',
    found_by            TEXT    NOT NULL CHECK (found_by IN ('feed', 'sweep', 'list', 'operator', 'import')),
    seen_at             INTEGER NOT NULL,
    read_at             INTEGER NOT NULL,
    fact_seq            INTEGER NOT NULL,
    taken_at            INTEGER,
    reserved_at         INTEGER,
    booked_at           INTEGER,
    acknowledged_at     INTEGER,
    handling_seen_at    INTEGER,
    reservation_gone_at INTEGER,
    invoiced_at         INTEGER,
    canceled_at         INTEGER,
    settled_at          INTEGER,
    parked_at           INTEGER,
    parked_reason       TEXT,
    stuck_since         INTEGER,
    replan              INTEGER NOT NULL DEFAULT 0 CHECK (replan IN (0, 1)),
    not_before          INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX orders_open ON orders (read_at) WHERE settled_at IS NULL;
CREATE INDEX orders_replan ON orders (seen_at) WHERE replan = 1;
CREATE INDEX orders_parked ON orders (parked_at) WHERE parked_at IS NOT NULL AND settled_at IS NULL;
CREATE INDEX orders_closing ON orders (order_id)
    WHERE settled_at IS NULL AND (invoiced_at IS NOT NULL OR canceled_at IS NOT NULL);
CREATE INDEX orders_settled ON orders (settled_at) WHERE settled_at IS NOT NULL;

-- The ledger: what an order needs (units) and what was reserved for it (reserved), per SKU and warehouse.
CREATE TABLE lines (
    order_id  TEXT    NOT NULL REFERENCES orders (order_id),
    sku       TEXT    NOT NULL,
    warehouse TEXT    NOT NULL,
    units     INTEGER NOT NULL CHECK (units >= 0),
    reserved  INTEGER NOT NULL DEFAULT 0 CHECK (reserved >= 0),
    live      INTEGER NOT NULL DEFAULT 1 CHECK (live IN (0, 1)),
    PRIMARY KEY (order_id, sku, warehouse)
) STRICT, WITHOUT ROWID;
CREATE INDEX lines_live ON lines (sku, warehouse) WHERE live = 1;

-- Which changes of state an effect may make; the trigger below refuses every other.
CREATE TABLE transitions (
    kind       TEXT NOT NULL,
    from_state TEXT NOT NULL,
    to_state   TEXT NOT NULL,
    PRIMARY KEY (kind, from_state, to_state)
) STRICT, WITHOUT ROWID;
INSERT INTO transitions (kind, from_state, to_state) VALUES
    ('movement', 'PLANNED', 'DONE'),
    ('movement', 'PLANNED', 'CANCELED'),
    ('movement', 'PLANNED', 'SENDING'),
    ('movement', 'PLANNED', 'QUARANTINED'),
    ('movement', 'SENDING', 'PLANNED'),
    ('movement', 'SENDING', 'DONE'),
    ('movement', 'SENDING', 'UNKNOWN'),
    ('movement', 'SENDING', 'QUARANTINED'),
    ('movement', 'UNKNOWN', 'UNKNOWN'),
    ('movement', 'UNKNOWN', 'DONE'),
    ('movement', 'UNKNOWN', 'PLANNED'),
    ('movement', 'UNKNOWN', 'REJECTED'),
    ('movement', 'UNKNOWN', 'QUARANTINED'),
    ('movement', 'QUARANTINED', 'DONE'),
    ('movement', 'QUARANTINED', 'PLANNED'),
    ('movement', 'QUARANTINED', 'CANCELED'),
    ('movement', 'REJECTED', 'PLANNED'),
    ('movement', 'REJECTED', 'CANCELED'),
    ('handling', 'BLOCKED', 'PLANNED'),
    ('handling', 'BLOCKED', 'CANCELED'),
    ('handling', 'PLANNED', 'SENDING'),
    ('handling', 'PLANNED', 'DONE'),
    ('handling', 'PLANNED', 'CANCELED'),
    ('handling', 'PLANNED', 'QUARANTINED'),
    ('handling', 'SENDING', 'DONE'),
    ('handling', 'SENDING', 'PLANNED'),
    ('handling', 'SENDING', 'UNKNOWN'),
    ('handling', 'UNKNOWN', 'DONE'),
    ('handling', 'UNKNOWN', 'PLANNED'),
    ('handling', 'UNKNOWN', 'CANCELED'),
    ('handling', 'UNKNOWN', 'QUARANTINED'),
    ('handling', 'QUARANTINED', 'DONE'),
    ('handling', 'QUARANTINED', 'PLANNED'),
    ('handling', 'QUARANTINED', 'CANCELED');

-- Every external write with a natural key, once and for ever: movements in the ERP, the start of handling.
CREATE TABLE attempts (
    id              INTEGER PRIMARY KEY,
    kind            TEXT    NOT NULL CHECK (kind IN ('movement', 'handling')),
    order_id        TEXT    NOT NULL,
    operation       TEXT    NOT NULL,
    base            TEXT    NOT NULL,
    key             TEXT    NOT NULL,
    payload         TEXT,
    hash            TEXT    NOT NULL,
    state           TEXT    NOT NULL CHECK (state IN ('BLOCKED', 'PLANNED', 'SENDING', 'UNKNOWN', 'DONE', 'REJECTED',
                            'QUARANTINED', 'CANCELED')),
    attempt         INTEGER NOT NULL DEFAULT 0 CHECK (attempt >= 0),
    send_by         INTEGER,
    deadline        INTEGER,
    boot_id         TEXT,
    absent          INTEGER NOT NULL DEFAULT 0 CHECK (absent IN (0, 1)),
    absent_at       INTEGER,
    refused         INTEGER NOT NULL DEFAULT 0 CHECK (refused IN (0, 1)),
    doubted         INTEGER NOT NULL DEFAULT 0 CHECK (doubted IN (0, 1)),
    reason          TEXT,
    erp_id          TEXT,
    erp_number      TEXT,
    done_seq        INTEGER,
    remito_seq      INTEGER,
    not_before      INTEGER NOT NULL DEFAULT 0,
    undecided_since INTEGER,
    created_at      INTEGER NOT NULL,
    changed_at      INTEGER NOT NULL,
    UNIQUE (kind, key)
) STRICT;
CREATE INDEX attempts_open ON attempts (kind, id) WHERE state NOT IN ('DONE', 'CANCELED');
CREATE INDEX attempts_order ON attempts (order_id);
CREATE INDEX attempts_canary ON attempts (base, done_seq) WHERE kind = 'movement' AND state = 'DONE';
CREATE INDEX attempts_remito ON attempts (id)
    WHERE kind = 'movement' AND state = 'DONE' AND remito_seq IS NULL AND operation GLOB 'S*';

-- The part of each movement that belongs to one SKU in one warehouse.
CREATE TABLE attempt_lines (
    attempt_id INTEGER NOT NULL REFERENCES attempts (id),
    sku        TEXT    NOT NULL,
    warehouse  TEXT    NOT NULL,
    units      INTEGER NOT NULL CHECK (units > 0),
    PRIMARY KEY (attempt_id, sku, warehouse)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER attempts_transition BEFORE UPDATE OF state, attempt ON attempts
WHEN NOT (NEW.state = OLD.state AND NEW.attempt = OLD.attempt) AND NOT EXISTS (
    SELECT 1 FROM transitions
    WHERE kind = OLD.kind AND from_state = OLD.state AND to_state = NEW.state)
BEGIN
    SELECT RAISE(ABORT, 'this change of state is not in the transition table');
END;

CREATE TRIGGER attempts_counter BEFORE UPDATE OF attempt ON attempts
WHEN NEW.attempt < OLD.attempt OR (NEW.attempt > OLD.attempt AND NEW.state <> 'SENDING')
BEGIN
    SELECT RAISE(ABORT, 'an attempt number rises only with a claim and never falls');
END;

CREATE TRIGGER attempts_immutable BEFORE UPDATE OF kind, order_id, operation, base, key, hash ON attempts
BEGIN
    SELECT RAISE(ABORT, 'the identity of an effect never changes');
END;

CREATE TRIGGER attempts_kept BEFORE DELETE ON attempts
BEGIN
    SELECT RAISE(ABORT, 'a key is kept for ever');
END;

-- The number of each SKU in each warehouse: what it should be, what was confirmed, what may still be under way.
CREATE TABLE pushes (
    sku             TEXT    NOT NULL,
    warehouse       TEXT    NOT NULL,
    desired         INTEGER,
    ver             INTEGER NOT NULL DEFAULT 0,
    published       INTEGER,
    published_ver   INTEGER NOT NULL DEFAULT -1,
    pushed_t        INTEGER NOT NULL DEFAULT 0,
    checked_t       INTEGER NOT NULL DEFAULT 0,
    checked_seq     INTEGER NOT NULL DEFAULT 0,
    checked_at      INTEGER NOT NULL DEFAULT 0,
    due             INTEGER NOT NULL DEFAULT 1 CHECK (due IN (0, 1)),
    due_seq         INTEGER NOT NULL DEFAULT 0,
    due_t           INTEGER NOT NULL DEFAULT 0,
    ack_t           INTEGER NOT NULL DEFAULT 0,
    bound           INTEGER NOT NULL DEFAULT 0 CHECK (bound IN (0, 1)),
    inflight_until  INTEGER NOT NULL DEFAULT 0,
    uncertain_until INTEGER NOT NULL DEFAULT 0,
    boot_id         TEXT    NOT NULL DEFAULT '',
    not_before      INTEGER NOT NULL DEFAULT 0,
    failures        INTEGER NOT NULL DEFAULT 0,
    mismatches      INTEGER NOT NULL DEFAULT 0,
    absences        INTEGER NOT NULL DEFAULT 0,
    oversold        INTEGER NOT NULL DEFAULT 0 CHECK (oversold IN (0, 1)),
    note            TEXT,
    terms           TEXT,
    PRIMARY KEY (sku, warehouse)
) STRICT, WITHOUT ROWID;
CREATE INDEX pushes_due ON pushes (sku) WHERE due = 1;
CREATE INDEX pushes_oversold ON pushes (sku) WHERE oversold = 1;

-- Every number that was sent, with the terms of its sum.
CREATE TABLE push_log (
    id        INTEGER PRIMARY KEY,
    at        INTEGER NOT NULL,
    sku       TEXT    NOT NULL,
    warehouse TEXT    NOT NULL,
    quantity  INTEGER NOT NULL,
    terms     TEXT    NOT NULL
) STRICT;
CREATE INDEX push_log_sku ON push_log (sku, id);

-- The SKUs: the shop's reference, and the ERP's code that follows from it.
CREATE TABLE skus (
    sku       TEXT    PRIMARY KEY,
    reference TEXT,
    override  TEXT,
    erp_code  TEXT,
    problem   TEXT,
    name      TEXT,
    kit       INTEGER NOT NULL DEFAULT 0 CHECK (kit IN (0, 1)),
    read_at   INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX skus_code ON skus (erp_code) WHERE erp_code IS NOT NULL;
CREATE INDEX skus_problem ON skus (sku) WHERE problem IS NOT NULL;
CREATE INDEX skus_read ON skus (read_at);

-- The stock per base as it was when an order was reserved, for the people who fetch the goods.
CREATE TABLE snapshots (
    order_id TEXT    NOT NULL,
    sku      TEXT    NOT NULL,
    base     TEXT    NOT NULL,
    stock    TEXT    NOT NULL,
    read_at  INTEGER NOT NULL,
    PRIMARY KEY (order_id, sku, base)
) STRICT, WITHOUT ROWID;

-- What a base was asked to give for an order, so that two orders are not sent for the same unit.
CREATE TABLE picks (
    order_id TEXT    NOT NULL,
    sku      TEXT    NOT NULL,
    base     TEXT    NOT NULL,
    units    INTEGER NOT NULL CHECK (units > 0),
    at       INTEGER NOT NULL,
    open     INTEGER NOT NULL DEFAULT 1 CHECK (open IN (0, 1)),
    PRIMARY KEY (order_id, sku, base)
) STRICT, WITHOUT ROWID;
CREATE INDEX picks_open ON picks (sku, base) WHERE open = 1;

-- Notices to people.
CREATE TABLE outbox (
    id              INTEGER PRIMARY KEY,
    key             TEXT    NOT NULL UNIQUE,
    kind            TEXT    NOT NULL,
    subject         TEXT    NOT NULL,
    body            TEXT,
    state           TEXT    NOT NULL CHECK (state IN ('PLANNED', 'SENDING', 'UNKNOWN', 'SENT', 'QUARANTINED')),
    attempt         INTEGER NOT NULL DEFAULT 0,
    resends         INTEGER NOT NULL DEFAULT 0,
    maybe_duplicate INTEGER NOT NULL DEFAULT 0 CHECK (maybe_duplicate IN (0, 1)),
    repeats         INTEGER NOT NULL DEFAULT 0,
    not_before      INTEGER NOT NULL DEFAULT 0,
    reason          TEXT,
    created_at      INTEGER NOT NULL,
    changed_at      INTEGER NOT NULL
) STRICT;
CREATE INDEX outbox_open ON outbox (id) WHERE state IN ('PLANNED', 'SENDING', 'UNKNOWN');
CREATE INDEX outbox_quarantined ON outbox (id) WHERE state = 'QUARANTINED';
CREATE INDEX outbox_subject ON outbox (kind, subject, id);
CREATE INDEX outbox_repeats ON outbox (id) WHERE repeats > 0;

-- Feed events that were read and not yet taken off the feed, with how often their order could not be read.
CREATE TABLE feed_events (
    handle       TEXT    PRIMARY KEY,
    order_text   TEXT    NOT NULL,
    status       TEXT    NOT NULL,
    first_seen   INTEGER NOT NULL,
    tries        INTEGER NOT NULL DEFAULT 0,
    committed_at INTEGER
) STRICT;
CREATE INDEX feed_events_committed ON feed_events (committed_at) WHERE committed_at IS NOT NULL;

-- Input that was refused, with the reason: shown by `status`, never lost silently.
CREATE TABLE rejects (
    id      INTEGER PRIMARY KEY,
    at      INTEGER NOT NULL,
    source  TEXT    NOT NULL,
    subject TEXT    NOT NULL,
    reason  TEXT    NOT NULL,
    times   INTEGER NOT NULL DEFAULT 1,
    UNIQUE (source, subject, reason)
) STRICT;
CREATE INDEX rejects_at ON rejects (at);

-- How each host wants to be treated, across processes.
CREATE TABLE gates (
    host       TEXT    PRIMARY KEY,
    failures   INTEGER NOT NULL DEFAULT 0,
    not_before INTEGER NOT NULL DEFAULT 0
) STRICT;

-- The last run of each stage.
CREATE TABLE runs (
    stage      TEXT    PRIMARY KEY,
    run_id     TEXT    NOT NULL,
    started_at INTEGER NOT NULL,
    ended_at   INTEGER NOT NULL,
    exit_code  INTEGER NOT NULL,
    counts     TEXT    NOT NULL,
    message    TEXT
) STRICT;

-- What operators did; append-only.
CREATE TABLE audit (
    id      INTEGER PRIMARY KEY,
    at      INTEGER NOT NULL,
    who     TEXT    NOT NULL,
    act     TEXT    NOT NULL,
    subject TEXT    NOT NULL,
    detail  TEXT    NOT NULL
) STRICT;
CREATE TRIGGER audit_no_update BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'the audit table is append-only'); END;
CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'the audit table is append-only'); END;
