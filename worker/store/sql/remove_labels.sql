-- The bounds let the planner leave out the day partitions that hold none of these.
WITH removed AS (
    DELETE FROM post_emotions e
    USING unnest(%(platforms)b::text[], %(post_ids)b::text[], %(times)b::timestamptz[])
        AS k (platform, post_id, created_at)
    WHERE e.platform = k.platform AND e.post_id = k.post_id AND e.created_at = k.created_at
        AND e.created_at BETWEEN %(oldest)b AND %(newest)b
    RETURNING
        e.created_at, e.platform, e.lang, e.topic, e.hashtags, e.emotion,
        e.sadness, e.joy, e.love, e.anger, e.fear, e.surprise, e.model_id
)
INSERT INTO batch_removed
SELECT
    created_at, platform, lang, topic, hashtags, emotion,
    round(sadness::float8 * 1e6)::integer, round(joy::float8 * 1e6)::integer,
    round(love::float8 * 1e6)::integer, round(anger::float8 * 1e6)::integer,
    round(fear::float8 * 1e6)::integer, round(surprise::float8 * 1e6)::integer,
    model_id
FROM removed
