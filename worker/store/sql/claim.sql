INSERT INTO stream_offsets AS s (
    consumer_group, topic, topic_id, kafka_partition, owner_epoch, owner_id
)
VALUES (%(group)s, %(topic)s, %(topic_id)s, %(partition)s, 1, %(owner)s)
ON CONFLICT (consumer_group, topic, topic_id, kafka_partition) DO UPDATE
SET owner_epoch = s.owner_epoch + 1, owner_id = excluded.owner_id, updated_at = now(),
    retired_at = NULL
RETURNING next_offset, owner_epoch, tripped_at IS NOT NULL, EXISTS (
    SELECT FROM stream_offsets o
    WHERE o.consumer_group = s.consumer_group AND o.topic = s.topic
        AND o.topic_id <> s.topic_id AND o.next_offset IS NOT NULL
)
