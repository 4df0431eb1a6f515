COPY batch_posts (
    ordinal, platform, post_id, post_hash, author_hash, version, generation, created_at,
    topic, topic_id, kafka_partition, kafka_offset, lang, hashtags, emotion, unlabelled_reason,
    confidence, sadness, joy, love, anger, fear, surprise, text
) FROM STDIN (FORMAT BINARY)
