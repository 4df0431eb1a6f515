SELECT
    k.platform, k.post_id, k.created_at, k.version, k.kept_generation,
    k.topic, k.topic_id, k.kafka_partition, k.kafka_offset
FROM kept_labels k
JOIN unnest(%(platforms)b::text[], %(post_ids)b::text[]) AS i (platform, post_id)
    ON k.platform = i.platform AND k.post_id = i.post_id
WHERE k.generation = %(generation)b
ORDER BY k.platform, k.post_id
FOR UPDATE OF k
