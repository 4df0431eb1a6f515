-- The breaker's mark is of the topic: something of it was stored that is no dead letter.
UPDATE stream_offsets s
SET tripped_at = NULL
FROM (
    SELECT consumer_group, topic, topic_id, kafka_partition
    FROM stream_offsets
    WHERE consumer_group = %(group)b AND topic = ANY (%(topics)b) AND tripped_at IS NOT NULL
    ORDER BY topic, topic_id, kafka_partition
    FOR UPDATE SKIP LOCKED
) AS k
WHERE s.consumer_group = k.consumer_group AND s.topic = k.topic AND s.topic_id = k.topic_id
    AND s.kafka_partition = k.kafka_partition
