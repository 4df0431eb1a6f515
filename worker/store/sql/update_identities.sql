UPDATE posts p
SET state = CASE WHEN b.version IS NULL THEN 'withdrawn' ELSE 'live' END,
    version = b.version, generation = b.generation, created_at = b.created_at,
    topic = b.topic, topic_id = b.topic_id,
    kafka_partition = b.kafka_partition, kafka_offset = b.kafka_offset,
    author_hash = coalesce(b.author_hash, p.author_hash)
FROM batch_posts b
WHERE b.ordinal = ANY (%(ordinals)b) AND p.platform = b.platform AND p.post_id = b.post_id
