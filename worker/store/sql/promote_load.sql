-- The next shadow labels in key order, as a batch of their own.
INSERT INTO batch_posts (
    ordinal, platform, post_id, post_hash, author_hash, version, generation, created_at,
    topic, topic_id, kafka_partition, kafka_offset, lang, hashtags, emotion, unlabelled_reason,
    confidence, sadness, joy, love, anger, fear, surprise, text
)
SELECT
    row_number() OVER (ORDER BY s.platform, s.post_id) - 1, s.platform, s.post_id, s.post_hash,
    s.author_hash, s.version, %(generation)b, s.created_at,
    s.topic, s.topic_id, s.kafka_partition, s.kafka_offset, s.lang, s.hashtags, s.emotion,
    s.unlabelled_reason, s.confidence,
    s.sadness, s.joy, s.love, s.anger, s.fear, s.surprise, s.text
FROM (
    SELECT *
    FROM shadow_labels
    WHERE replay = %(replay)b AND (platform, post_id) > (%(platform)b, %(post_id)b)
    ORDER BY platform, post_id
    LIMIT %(limit)b
) AS s
RETURNING ordinal, platform, post_id, version, created_at
