WITH superseded AS (
    SELECT topic_id, kafka_partition
    FROM stream_offsets
    WHERE consumer_group = %(group)s AND topic = %(topic)s AND topic_id <> %(topic_id)s
        AND retired_at IS NULL
    ORDER BY topic_id, kafka_partition
    FOR UPDATE
)
UPDATE stream_offsets s
SET retired_at = now(), owner_epoch = s.owner_epoch + 1
FROM superseded o
WHERE s.consumer_group = %(group)s AND s.topic = %(topic)s AND s.topic_id = o.topic_id
    AND s.kafka_partition = o.kafka_partition
RETURNING s.topic_id, s.kafka_partition
