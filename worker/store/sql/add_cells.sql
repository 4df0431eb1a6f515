-- Cells get exactly new minus old: minutes first, hours and days from the minutes, all together.
WITH changes AS (
    SELECT
        1 AS sign, created_at, platform, lang, topic, hashtags, emotion,
        sadness, joy, love, anger, fear, surprise, %(model_id)b::integer AS model_id
    FROM batch_posts
    WHERE ordinal = ANY (%(ordinals)b)
    UNION ALL
    SELECT
        -1, created_at, platform, lang, topic, hashtags, emotion,
        sadness, joy, love, anger, fear, surprise, model_id
    FROM batch_removed
), minutes AS (
    SELECT
        date_trunc('minute', c.created_at, 'UTC') AS bucket, d.dimension, d.value,
        coalesce(sum(sign) FILTER (WHERE emotion = 'sadness'), 0) AS sadness,
        coalesce(sum(sign) FILTER (WHERE emotion = 'joy'), 0) AS joy,
        coalesce(sum(sign) FILTER (WHERE emotion = 'love'), 0) AS love,
        coalesce(sum(sign) FILTER (WHERE emotion = 'anger'), 0) AS anger,
        coalesce(sum(sign) FILTER (WHERE emotion = 'fear'), 0) AS fear,
        coalesce(sum(sign) FILTER (WHERE emotion = 'surprise'), 0) AS surprise,
        coalesce(sum(sign) FILTER (WHERE emotion = 'uncertain'), 0) AS uncertain,
        coalesce(sum(sign) FILTER (WHERE emotion = 'unlabelled'), 0) AS unlabelled,
        coalesce(sum(sign * c.sadness), 0) AS sadness_score,
        coalesce(sum(sign * c.joy), 0) AS joy_score,
        coalesce(sum(sign * c.love), 0) AS love_score,
        coalesce(sum(sign * c.anger), 0) AS anger_score,
        coalesce(sum(sign * c.fear), 0) AS fear_score,
        coalesce(sum(sign * c.surprise), 0) AS surprise_score
    FROM changes c
    CROSS JOIN LATERAL emotion_dimensions(c.platform, c.lang, c.topic, c.hashtags, c.model_id) AS d
    GROUP BY 1, 2, 3
), cells AS (
    SELECT '1m' AS granularity, *
    FROM minutes
    WHERE %(minute_floor)b::timestamptz IS NULL OR bucket >= %(minute_floor)b
    UNION ALL
    SELECT
        g.granularity, date_trunc(g.unit, bucket, 'UTC'), dimension, value,
        sum(sadness), sum(joy), sum(love), sum(anger), sum(fear), sum(surprise),
        sum(uncertain), sum(unlabelled),
        sum(sadness_score), sum(joy_score), sum(love_score),
        sum(anger_score), sum(fear_score), sum(surprise_score)
    FROM minutes
    CROSS JOIN (VALUES ('1h', 'hour'), ('1d', 'day')) AS g (granularity, unit)
    GROUP BY 1, 2, 3, 4
)
INSERT INTO trend_cells AS t (
    granularity, dimension, value, bucket, slot,
    sadness, joy, love, anger, fear, surprise, uncertain, unlabelled,
    sadness_score, joy_score, love_score, anger_score, fear_score, surprise_score
)
SELECT
    granularity, dimension, value, bucket, %(slot)b::smallint,
    sadness, joy, love, anger, fear, surprise, uncertain, unlabelled,
    sadness_score, joy_score, love_score, anger_score, fear_score, surprise_score
FROM cells
WHERE (sadness, joy, love, anger, fear, surprise, uncertain, unlabelled,
       sadness_score, joy_score, love_score, anger_score, fear_score, surprise_score)
    IS DISTINCT FROM (0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
ORDER BY granularity, dimension COLLATE "C", value COLLATE "C", bucket
ON CONFLICT (granularity, dimension, value, bucket, slot) DO UPDATE SET
    sadness = t.sadness + excluded.sadness,
    joy = t.joy + excluded.joy,
    love = t.love + excluded.love,
    anger = t.anger + excluded.anger,
    fear = t.fear + excluded.fear,
    surprise = t.surprise + excluded.surprise,
    uncertain = t.uncertain + excluded.uncertain,
    unlabelled = t.unlabelled + excluded.unlabelled,
    sadness_score = t.sadness_score + excluded.sadness_score,
    joy_score = t.joy_score + excluded.joy_score,
    love_score = t.love_score + excluded.love_score,
    anger_score = t.anger_score + excluded.anger_score,
    fear_score = t.fear_score + excluded.fear_score,
    surprise_score = t.surprise_score + excluded.surprise_score
