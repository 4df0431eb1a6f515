INSERT INTO posts (
    platform, post_id, state, version, generation, created_at,
    topic, topic_id, kafka_partition, kafka_offset, author_hash
)
SELECT
    platform, post_id, CASE WHEN version IS NULL THEN 'withdrawn' ELSE 'live' END, version,
    generation, created_at, topic, topic_id, kafka_partition, kafka_offset, author_hash
FROM batch_posts
WHERE ordinal = ANY (%(ordinals)b)
ORDER BY platform, post_id
ON CONFLICT (platform, post_id) DO NOTHING
RETURNING platform, post_id
