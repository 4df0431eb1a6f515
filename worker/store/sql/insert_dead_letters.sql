-- Another group may have read the same record: it is one dead letter all the same. What it holds of a
-- forgotten post or author is not kept; nor, where there are any, what was too much to be looked at.
INSERT INTO dead_letters (
    topic, topic_id, kafka_partition, kafka_offset, kafka_timestamp, key, value, value_length,
    value_sha256, reason, detail, fingerprint, state
)
SELECT
    b.topic, b.topic_id, b.kafka_partition, b.kafka_offset, b.kafka_timestamp,
    CASE WHEN NOT e.found THEN b.key END, CASE WHEN NOT e.found THEN b.value END,
    b.value_length, CASE WHEN NOT e.found THEN b.value_sha256 END, b.reason, b.detail, b.fingerprint,
    CASE WHEN e.found THEN 'dropped' ELSE 'new' END
FROM batch_rejections b
JOIN unnest(%(topics)b::text[], %(topic_ids)b::uuid[], %(partitions)b::integer[])
    AS k (topic, topic_id, kafka_partition)
    ON b.topic = k.topic AND b.topic_id = k.topic_id AND b.kafka_partition = k.kafka_partition
CROSS JOIN LATERAL (
    SELECT EXISTS (
        SELECT FROM erasures
        WHERE b.opaque
            OR kind = 'post' AND hash = ANY (b.post_hashes)
            OR kind = 'author' AND hash = ANY (b.author_hashes)
    ) AS found
) AS e
ON CONFLICT (topic, topic_id, kafka_partition, kafka_offset) DO NOTHING
RETURNING topic, topic_id, kafka_partition, kafka_offset, state = 'new'
