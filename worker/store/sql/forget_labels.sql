-- Wherever they lie, with an identity or without. What lies below the floor is in no cell any more that
-- is kept in step with the labels.
WITH removed AS (
    DELETE FROM post_emotions e
    USING unnest(%(platforms)b::text[], %(post_ids)b::text[]) AS k (platform, post_id)
    WHERE e.platform = k.platform AND e.post_id = k.post_id
    RETURNING e.*
), taken AS (
    INSERT INTO batch_removed
    SELECT
        created_at, platform, lang, topic, hashtags, emotion,
        round(sadness::float8 * 1e6)::integer, round(joy::float8 * 1e6)::integer,
        round(love::float8 * 1e6)::integer, round(anger::float8 * 1e6)::integer,
        round(fear::float8 * 1e6)::integer, round(surprise::float8 * 1e6)::integer, model_id
    FROM removed
    WHERE created_at >= coalesce(%(floor)b, '-infinity'::timestamptz)
)
SELECT count(*) FROM removed
