DROP INDEX post_emotions_created_at;
DROP INDEX trend_cells_1m_dimension_bucket;
DROP FUNCTION emotion_spikes(timestamptz, integer);
DROP FUNCTION emotion_rolling(interval, text, text, timestamptz, timestamptz, interval);
DROP VIEW emotion_model_changes;
DROP VIEW emotion_voice;
DROP VIEW emotion_trends_rolling_24h;
DROP VIEW emotion_trends_rolling_1h;
DELETE FROM trend_cells WHERE dimension = 'model';

CREATE OR REPLACE VIEW emotion_trends AS
WITH progress AS (
    SELECT CASE WHEN count(*) = count(watermark) THEN min(watermark) END AS complete_until
    FROM stream_offsets
    WHERE retired_at IS NULL AND NOT starts_with(topic, '@')
), cells AS (
    SELECT
        granularity, dimension, value, bucket,
        sum(sadness)::bigint AS sadness, sum(joy)::bigint AS joy, sum(love)::bigint AS love,
        sum(anger)::bigint AS anger, sum(fear)::bigint AS fear, sum(surprise)::bigint AS surprise,
        sum(uncertain)::bigint AS uncertain, sum(unlabelled)::bigint AS unlabelled,
        sum(sadness_score)::bigint AS sadness_score, sum(joy_score)::bigint AS joy_score,
        sum(love_score)::bigint AS love_score, sum(anger_score)::bigint AS anger_score,
        sum(fear_score)::bigint AS fear_score, sum(surprise_score)::bigint AS surprise_score
    FROM trend_cells
    GROUP BY granularity, dimension, value, bucket
), totals AS (
    SELECT *, sadness + joy + love + anger + fear + surprise + uncertain AS total_posts
    FROM cells
)
SELECT
    t.granularity, t.bucket, t.dimension, t.value, e.emotion, e.posts, t.total_posts,
    CASE WHEN e.emotion <> 'unlabelled' THEN e.posts::float8 / nullif(t.total_posts, 0) END AS share,
    e.score / 1e6::float8 / nullif(t.total_posts, 0) AS mean_score,
    coalesce(
        t.bucket + CASE t.granularity
            WHEN '1m' THEN interval '1 minute'
            WHEN '1h' THEN interval '1 hour'
            ELSE interval '24 hours'
        END <= (SELECT complete_until FROM progress),
        false
    ) AS complete
FROM totals AS t
CROSS JOIN LATERAL (VALUES
    ('sadness', t.sadness, t.sadness_score),
    ('joy', t.joy, t.joy_score),
    ('love', t.love, t.love_score),
    ('anger', t.anger, t.anger_score),
    ('fear', t.fear, t.fear_score),
    ('surprise', t.surprise, t.surprise_score),
    ('uncertain', t.uncertain, NULL),
    ('unlabelled', t.unlabelled, NULL)
) AS e (emotion, posts, score)
WHERE t.total_posts <> 0 OR t.unlabelled <> 0;
COMMENT ON COLUMN emotion_trends.emotion IS NULL;

DROP FUNCTION emotion_rows(
    bigint, bigint, bigint, bigint, bigint, bigint, bigint, bigint,
    bigint, bigint, bigint, bigint, bigint, bigint
);
DROP FUNCTION emotion_complete_until();
DROP FUNCTION emotion_dimensions(text, text, text, text[], integer);
