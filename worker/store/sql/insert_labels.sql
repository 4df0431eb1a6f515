INSERT INTO post_emotions (
    platform, post_id, created_at, topic, kafka_partition, kafka_offset, lang, author_hash,
    hashtags, emotion, unlabelled_reason, confidence,
    sadness, joy, love, anger, fear, surprise, model_id, text
)
SELECT
    platform, post_id, created_at, topic, kafka_partition, kafka_offset, lang, author_hash,
    hashtags, emotion, unlabelled_reason, confidence,
    sadness / 1e6::float8, joy / 1e6::float8, love / 1e6::float8,
    anger / 1e6::float8, fear / 1e6::float8, surprise / 1e6::float8, %(model_id)b, text
FROM batch_posts
WHERE ordinal = ANY (%(ordinals)b)
