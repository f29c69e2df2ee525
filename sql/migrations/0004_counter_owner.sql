-- The log beside a state file may be another file's: SQLite plays back any log that is sound in itself. The counter
-- stands in almost everything that is written, so it names its memory too: a foreign log brings a foreign name.
ALTER TABLE counter ADD COLUMN instance_id TEXT NOT NULL DEFAULT '';
UPDATE counter SET instance_id = coalesce((SELECT instance_id FROM instance), '');
CREATE TRIGGER counter_owner AFTER INSERT ON instance
BEGIN
    UPDATE counter SET instance_id = NEW.instance_id;
END;
