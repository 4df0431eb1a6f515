SELECT
    s.platform, s.post_id, s.created_at, s.version, 0,
    s.topic, s.topic_id, s.kafka_partition, s.kafka_offset
FROM shadow_labels s
JOIN unnest(%(platforms)b::text[], %(post_ids)b::text[]) AS k (platform, post_id)
    ON s.platform = k.platform AND s.post_id = k.post_id
WHERE s.replay = %(replay)b
ORDER BY s.platform, s.post_id
FOR UPDATE OF s
