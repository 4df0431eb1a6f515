SELECT
    p.platform, p.post_id, p.created_at, p.version, p.generation,
    p.topic, p.topic_id, p.kafka_partition, p.kafka_offset
FROM posts p
JOIN unnest(%(platforms)b::text[], %(post_ids)b::text[]) AS k (platform, post_id)
    ON p.platform = k.platform AND p.post_id = k.post_id
ORDER BY p.platform, p.post_id
FOR UPDATE OF p
