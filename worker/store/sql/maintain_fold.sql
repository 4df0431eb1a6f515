-- Slots of closed buckets into slot 0, in the order in which writers lock cells.
WITH oldest AS MATERIALIZED (
    SELECT granularity, dimension, value, bucket, slot
    FROM trend_cells
    WHERE slot <> 0 AND bucket < %(before)s AND granularity = %(granularity)s
    ORDER BY bucket
    LIMIT %(limit)s
), chosen AS MATERIALIZED (
    SELECT t.granularity, t.dimension, t.value, t.bucket, t.slot
    FROM trend_cells t JOIN oldest USING (granularity, dimension, value, bucket, slot)
    ORDER BY t.granularity, t.dimension, t.value, t.bucket, t.slot
    FOR UPDATE OF t SKIP LOCKED
), taken AS (
    DELETE FROM trend_cells t
    USING chosen c
    WHERE t.granularity = c.granularity AND t.dimension = c.dimension AND t.value = c.value
        AND t.bucket = c.bucket AND t.slot = c.slot AND t.slot <> 0
    RETURNING t.*
)
INSERT INTO trend_cells AS t (
    granularity, dimension, value, bucket, slot,
    sadness, joy, love, anger, fear, surprise, uncertain, unlabelled,
    sadness_score, joy_score, love_score, anger_score, fear_score, surprise_score
)
SELECT
    granularity, dimension, value, bucket, 0,
    sum(sadness), sum(joy), sum(love), sum(anger), sum(fear), sum(surprise),
    sum(uncertain), sum(unlabelled),
    sum(sadness_score), sum(joy_score), sum(love_score),
    sum(anger_score), sum(fear_score), sum(surprise_score)
FROM taken
GROUP BY granularity, dimension, value, bucket
ORDER BY granularity, dimension, value, bucket
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
