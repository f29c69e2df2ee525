SELECT count(*) FROM instance, counter WHERE instance.instance_id <> counter.instance_id
