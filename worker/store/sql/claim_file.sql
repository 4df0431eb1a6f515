-- No topic's log: its siblings are other files, which others read.
UPDATE stream_offsets
SET owner_epoch = owner_epoch + 1, owner_id = %(owner)s, updated_at = now()
WHERE consumer_group = %(group)s AND topic = %(topic)s AND topic_id = %(topic_id)s
    AND kafka_partition = %(partition)s
    AND (owner_id IS NULL OR updated_at < now() - make_interval(secs => %(idle_s)s))
RETURNING owner_epoch, next_offset
