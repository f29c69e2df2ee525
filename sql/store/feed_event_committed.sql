UPDATE feed_events SET committed_at = :now WHERE handle = :handle
