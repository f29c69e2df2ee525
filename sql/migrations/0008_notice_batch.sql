-- Several notices in one message: those whose message may have arrived are sent again together, under the same id.

-- The key of the message that the row last went out in with others; its own key where it must go alone.
ALTER TABLE outbox ADD COLUMN batch TEXT;
