-- The raised epoch fences whoever reads there: it claims again and reads on from the new position.
UPDATE stream_offsets s
SET next_offset = k.next_offset, owner_epoch = s.owner_epoch + 1, updated_at = now(),
    -- Moved back, what lies between is unread again and may be of any time: no bucket is complete
    -- until it has been read once more. Moved forward, what is passed over counts as read.
    watermark = CASE WHEN k.next_offset > s.next_offset THEN s.watermark END
FROM unnest(%(partitions)s::integer[], %(offsets)s::bigint[]) AS k (kafka_partition, next_offset)
WHERE s.consumer_group = %(group)s AND s.topic = %(topic)s AND s.topic_id = %(topic_id)s
    AND s.kafka_partition = k.kafka_partition
    AND s.next_offset IS DISTINCT FROM k.next_offset
