INSERT INTO shadow_labels (
    replay, platform, post_id, post_hash, version, created_at,
    topic, topic_id, kafka_partition, kafka_offset, lang, author_hash, hashtags, emotion,
    unlabelled_reason, confidence, sadness, joy, love, anger, fear, surprise, text
)
SELECT
    %(replay)b, platform, post_id, post_hash, version, created_at,
    topic, topic_id, kafka_partition, kafka_offset, lang, author_hash, hashtags, emotion,
    unlabelled_reason, confidence, sadness, joy, love, anger, fear, surprise, text
FROM batch_posts
WHERE ordinal = ANY (%(ordinals)b)
ORDER BY platform, post_id
ON CONFLICT (replay, platform, post_id) DO NOTHING
RETURNING platform, post_id
