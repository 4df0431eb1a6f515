-- Once their identities are locked: writers merge into what is kept under those locks.
WITH kept AS (
    SELECT k.*
    FROM kept_labels k
    JOIN unnest(%(platforms)b::text[], %(post_ids)b::text[]) AS i (platform, post_id)
        ON k.platform = i.platform AND k.post_id = i.post_id
    WHERE k.generation = %(generation)b
    ORDER BY k.platform, k.post_id
    FOR UPDATE OF k
), loaded AS (
    INSERT INTO batch_posts (
        ordinal, platform, post_id, post_hash, author_hash, version, generation, created_at,
        topic, topic_id, kafka_partition, kafka_offset, lang, hashtags, emotion,
        unlabelled_reason, confidence, sadness, joy, love, anger, fear, surprise, text
    )
    SELECT
        row_number() OVER (ORDER BY platform, post_id) - 1, platform, post_id, '', author_hash,
        version, coalesce(kept_generation, 0), created_at, coalesce(topic, ''),
        coalesce(topic_id, '00000000-0000-0000-0000-000000000000'),
        coalesce(kafka_partition, 0), coalesce(kafka_offset, 0), lang, hashtags, emotion,
        unlabelled_reason, confidence, sadness, joy, love, anger, fear, surprise, text
    FROM kept
)
SELECT row_number() OVER (ORDER BY platform, post_id) - 1, platform, post_id, created_at, model_id
FROM kept
ORDER BY 1
