-- What stands before the promotion takes its place; of a post that it adds, that nothing did.
INSERT INTO kept_labels (
    generation, platform, post_id, version, kept_generation, created_at,
    topic, topic_id, kafka_partition, kafka_offset, lang, author_hash, hashtags, emotion,
    unlabelled_reason, confidence, sadness, joy, love, anger, fear, surprise,
    model_id, labelled_at, label_topic, text
)
SELECT
    %(generation)b, b.platform, b.post_id, p.version, p.generation, p.created_at,
    p.topic, p.topic_id, p.kafka_partition, p.kafka_offset, e.lang, e.author_hash, e.hashtags,
    e.emotion, e.unlabelled_reason, e.confidence,
    round(e.sadness::float8 * 1e6)::integer, round(e.joy::float8 * 1e6)::integer,
    round(e.love::float8 * 1e6)::integer, round(e.anger::float8 * 1e6)::integer,
    round(e.fear::float8 * 1e6)::integer, round(e.surprise::float8 * 1e6)::integer,
    e.model_id, e.labelled_at, e.topic, e.text
FROM batch_posts b
LEFT JOIN posts p
    ON p.platform = b.platform AND p.post_id = b.post_id AND b.ordinal = ANY (%(known)b)
LEFT JOIN post_emotions e
    ON e.platform = p.platform AND e.post_id = p.post_id AND e.created_at = p.created_at
WHERE b.ordinal = ANY (%(ordinals)b)
ON CONFLICT (generation, platform, post_id) DO NOTHING
