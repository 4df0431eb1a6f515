WITH idle AS (
    SELECT s.topic, s.topic_id, s.kafka_partition, k.watermark
    FROM stream_offsets s
    JOIN unnest(
        %(topics)b::text[], %(topic_ids)b::uuid[], %(partitions)b::integer[],
        %(epochs)b::bigint[], %(ends)b::bigint[], %(watermarks)b::timestamptz[]
    ) AS k (topic, topic_id, kafka_partition, epoch, next_offset, watermark)
        ON s.topic = k.topic AND s.topic_id = k.topic_id AND s.kafka_partition = k.kafka_partition
        AND s.owner_epoch = k.epoch AND s.next_offset = k.next_offset
    WHERE s.consumer_group = %(group)b
    ORDER BY s.topic, s.topic_id, s.kafka_partition
    FOR UPDATE OF s
)
UPDATE stream_offsets s
SET watermark = greatest(s.watermark, idle.watermark), updated_at = now()
FROM idle
WHERE s.consumer_group = %(group)b AND s.topic = idle.topic AND s.topic_id = idle.topic_id
    AND s.kafka_partition = idle.kafka_partition
