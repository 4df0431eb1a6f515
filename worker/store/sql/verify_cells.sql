-- Cells against GROUP BY over labels, exactly, above the floors. One row for each that differs. A
-- range is of whole days, or it would cut their cells.
WITH policy_now AS (
    SELECT label_floor, greatest(label_floor, minute_floor) AS minute_floor FROM policy
), labels AS (
    SELECT
        d.dimension, d.value, e.created_at, e.emotion,
        round(e.sadness::float8 * 1e6)::bigint AS sadness, round(e.joy::float8 * 1e6)::bigint AS joy,
        round(e.love::float8 * 1e6)::bigint AS love, round(e.anger::float8 * 1e6)::bigint AS anger,
        round(e.fear::float8 * 1e6)::bigint AS fear,
        round(e.surprise::float8 * 1e6)::bigint AS surprise
    FROM post_emotions e
    CROSS JOIN LATERAL emotion_dimensions(e.platform, e.lang, e.topic, e.hashtags, e.model_id) AS d
    WHERE (%(since)s::timestamptz IS NULL OR e.created_at >= %(since)s)
        AND (%(until)s::timestamptz IS NULL OR e.created_at < %(until)s)
), wanted AS (
    SELECT
        g.granularity, dimension, value, date_trunc(g.unit, created_at, 'UTC') AS bucket,
        ARRAY[
            count(*) FILTER (WHERE emotion = 'sadness'), count(*) FILTER (WHERE emotion = 'joy'),
            count(*) FILTER (WHERE emotion = 'love'), count(*) FILTER (WHERE emotion = 'anger'),
            count(*) FILTER (WHERE emotion = 'fear'), count(*) FILTER (WHERE emotion = 'surprise'),
            count(*) FILTER (WHERE emotion = 'uncertain'),
            count(*) FILTER (WHERE emotion = 'unlabelled'),
            coalesce(sum(sadness), 0)::bigint, coalesce(sum(joy), 0)::bigint,
            coalesce(sum(love), 0)::bigint, coalesce(sum(anger), 0)::bigint,
            coalesce(sum(fear), 0)::bigint, coalesce(sum(surprise), 0)::bigint
        ] AS sums
    FROM labels
    CROSS JOIN (VALUES ('1m', 'minute'), ('1h', 'hour'), ('1d', 'day')) AS g (granularity, unit)
    GROUP BY 1, 2, 3, 4
), found AS (
    SELECT
        granularity, dimension, value, bucket,
        ARRAY[
            sum(sadness)::bigint, sum(joy)::bigint, sum(love)::bigint, sum(anger)::bigint,
            sum(fear)::bigint, sum(surprise)::bigint, sum(uncertain)::bigint,
            sum(unlabelled)::bigint, sum(sadness_score)::bigint, sum(joy_score)::bigint,
            sum(love_score)::bigint, sum(anger_score)::bigint, sum(fear_score)::bigint,
            sum(surprise_score)::bigint
        ] AS sums
    FROM trend_cells
    WHERE (%(since)s::timestamptz IS NULL OR bucket >= %(since)s)
        AND (%(until)s::timestamptz IS NULL OR bucket < %(until)s)
    GROUP BY 1, 2, 3, 4
)
SELECT granularity, dimension, value, bucket, wanted.sums, found.sums
FROM wanted
FULL JOIN found USING (granularity, dimension, value, bucket)
CROSS JOIN policy_now
WHERE coalesce(wanted.sums, array_fill(0::bigint, ARRAY[14]))
    IS DISTINCT FROM coalesce(found.sums, array_fill(0::bigint, ARRAY[14]))
    AND bucket >= coalesce(
        CASE granularity WHEN '1m' THEN policy_now.minute_floor ELSE policy_now.label_floor END,
        '-infinity'
    )
ORDER BY granularity, dimension, value, bucket
LIMIT %(limit)s
