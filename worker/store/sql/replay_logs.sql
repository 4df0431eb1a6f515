-- A position that stands is where the replay goes on.
WITH logs AS (
    SELECT *
    FROM unnest(
        %(log_topics)s::text[], %(topic_ids)s::uuid[], %(partitions)s::integer[],
        %(starts)s::bigint[], %(ends)s::bigint[]
    ) AS k (topic, topic_id, kafka_partition, start_offset, end_offset)
), bounds AS (
    INSERT INTO replay_logs AS r (
        replay, topic, topic_id, kafka_partition, start_offset, end_offset
    )
    SELECT %(name)s, topic, topic_id, kafka_partition, start_offset, greatest(start_offset, end_offset)
    FROM logs
    ON CONFLICT (replay, topic, topic_id, kafka_partition) DO UPDATE
    SET end_offset = greatest(r.end_offset, excluded.end_offset)
)
INSERT INTO stream_offsets AS s (consumer_group, topic, topic_id, kafka_partition, next_offset)
SELECT %(group)s, topic, topic_id, kafka_partition, start_offset
FROM logs
ON CONFLICT (consumer_group, topic, topic_id, kafka_partition) DO UPDATE
SET next_offset = excluded.next_offset, owner_epoch = s.owner_epoch + 1
WHERE s.next_offset IS NULL
