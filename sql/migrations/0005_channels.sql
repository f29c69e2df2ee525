-- Several ways to people: one row for each notice and channel, so that one that is down holds up no other.

-- The key that all rows of one notice share; the channel; the only base whose goods this row tells of.
ALTER TABLE outbox ADD COLUMN notice  TEXT NOT NULL DEFAULT '';
ALTER TABLE outbox ADD COLUMN channel TEXT NOT NULL DEFAULT 'mail';
ALTER TABLE outbox ADD COLUMN base    TEXT;
UPDATE outbox SET notice = key;
DROP INDEX outbox_open;
CREATE INDEX outbox_open ON outbox (channel, id) WHERE state IN ('PLANNED', 'SENDING', 'UNKNOWN');
CREATE INDEX outbox_notice ON outbox (notice, channel);
