-- Requests that were taken from a host's budget of one minute, by all processes together.
ALTER TABLE gates ADD COLUMN minute INTEGER NOT NULL DEFAULT 0;
ALTER TABLE gates ADD COLUMN taken  INTEGER NOT NULL DEFAULT 0 CHECK (taken >= 0);
