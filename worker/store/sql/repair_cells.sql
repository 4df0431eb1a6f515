-- Labels less cells as one snapshot had them: whoever has written since kept the difference. Below a
-- floor, which may have risen since, nothing is compared.
INSERT INTO trend_cells AS t (
    granularity, dimension, value, bucket, slot,
    sadness, joy, love, anger, fear, surprise, uncertain, unlabelled, sadness_score, joy_score,
    love_score, anger_score, fear_score, surprise_score
)
SELECT
    k.granularity, k.dimension, k.value, k.bucket, 0,
    k.sadness, k.joy, k.love, k.anger, k.fear, k.surprise, k.uncertain, k.unlabelled,
    k.sadness_score, k.joy_score, k.love_score, k.anger_score, k.fear_score, k.surprise_score
FROM unnest(
    %(granularity)b::text[], %(dimension)b::text[], %(value)b::text[], %(bucket)b::timestamptz[],
    %(sadness)b::bigint[], %(joy)b::bigint[], %(love)b::bigint[], %(anger)b::bigint[],
    %(fear)b::bigint[], %(surprise)b::bigint[], %(uncertain)b::bigint[],
    %(unlabelled)b::bigint[], %(sadness_score)b::bigint[], %(joy_score)b::bigint[],
    %(love_score)b::bigint[], %(anger_score)b::bigint[], %(fear_score)b::bigint[],
    %(surprise_score)b::bigint[]
) AS k (
    granularity, dimension, value, bucket,
    sadness, joy, love, anger, fear, surprise, uncertain, unlabelled, sadness_score, joy_score,
    love_score, anger_score, fear_score, surprise_score
)
CROSS JOIN policy p
WHERE k.bucket >= coalesce(
    CASE k.granularity WHEN '1m' THEN greatest(p.label_floor, p.minute_floor) ELSE p.label_floor END,
    '-infinity'
)
ORDER BY k.granularity, k.dimension COLLATE "C", k.value COLLATE "C", k.bucket
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
RETURNING bucket
