-- Another group may have read the same record: it is one dead letter all the same.
INSERT INTO dead_letters (
    topic, topic_id, kafka_partition, kafka_offset, kafka_timestamp, key, value, value_length,
    value_sha256, reason, detail, fingerprint
)
SELECT
    b.topic, b.topic_id, b.kafka_partition, b.kafka_offset, b.kafka_timestamp, b.key, b.value,
    b.value_length, b.value_sha256, b.reason, b.detail, b.fingerprint
FROM batch_rejections b
JOIN unnest(%(topics)b::text[], %(topic_ids)b::uuid[], %(partitions)b::integer[])
    AS k (topic, topic_id, kafka_partition)
    ON b.topic = k.topic AND b.topic_id = k.topic_id AND b.kafka_partition = k.kafka_partition
ON CONFLICT (topic, topic_id, kafka_partition, kafka_offset) DO NOTHING
