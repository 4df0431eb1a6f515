-- What people act on: rolling windows, share of voice, model changes, spikes; and cells by model.

-- No writer is half-way between now and the end of this migration.
SELECT pg_advisory_xact_lock(1701670772, 1);

CREATE FUNCTION emotion_dimensions(platform text, lang text, topic text, hashtags text[], model_id integer)
RETURNS TABLE (dimension text, value text)
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT v.dimension, v.value
    FROM (VALUES
        ('all', '*'), ('platform', platform), ('lang', coalesce(lang, 'und')), ('topic', topic),
        ('model', model_id::text)
    ) AS v (dimension, value)
    UNION ALL
    SELECT 'hashtag', tag FROM unnest(hashtags) AS tag;
END;
COMMENT ON FUNCTION emotion_dimensions(text, text, text, text[], integer) IS 'The dimension values under which a post counts, of which model is internal: the one list, for whoever writes or checks cells';

CREATE FUNCTION emotion_complete_until() RETURNS timestamptz
LANGUAGE sql STABLE SECURITY DEFINER PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE WHEN count(*) = count(watermark) THEN min(watermark) END
    FROM stream_offsets
    WHERE retired_at IS NULL AND NOT starts_with(topic, '@');
END;
COMMENT ON FUNCTION emotion_complete_until() IS 'Event time up to which every live partition has been read; null while one was never claimed, and where there is none';

CREATE FUNCTION emotion_rows(
    sadness bigint, joy bigint, love bigint, anger bigint, fear bigint, surprise bigint,
    uncertain bigint, unlabelled bigint,
    sadness_score bigint, joy_score bigint, love_score bigint,
    anger_score bigint, fear_score bigint, surprise_score bigint
)
RETURNS TABLE (
    emotion text, posts bigint, total_posts bigint, share double precision,
    mean_score double precision
)
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT
        e.emotion, e.posts, e.total,
        CASE WHEN e.emotion <> 'unlabelled' THEN e.posts::float8 / nullif(e.total, 0) END,
        e.score / 1e6::float8 / nullif(e.total, 0)
    FROM (
        SELECT v.emotion, v.posts, v.score,
            sadness + joy + love + anger + fear + surprise + uncertain AS total
        FROM (VALUES
            ('sadness', sadness, sadness_score),
            ('joy', joy, joy_score),
            ('love', love, love_score),
            ('anger', anger, anger_score),
            ('fear', fear, fear_score),
            ('surprise', surprise, surprise_score),
            ('uncertain', uncertain, NULL),
            ('unlabelled', unlabelled, NULL)
        ) AS v (emotion, posts, score)
    ) AS e;
END;
COMMENT ON FUNCTION emotion_rows(bigint, bigint, bigint, bigint, bigint, bigint, bigint, bigint, bigint, bigint, bigint, bigint, bigint, bigint) IS 'The counts and score sums of a cell as eight rows, as the views show them';

CREATE OR REPLACE VIEW emotion_trends AS
WITH cells AS (
    SELECT
        granularity, dimension, value, bucket,
        sum(sadness)::bigint AS sadness, sum(joy)::bigint AS joy, sum(love)::bigint AS love,
        sum(anger)::bigint AS anger, sum(fear)::bigint AS fear, sum(surprise)::bigint AS surprise,
        sum(uncertain)::bigint AS uncertain, sum(unlabelled)::bigint AS unlabelled,
        sum(sadness_score)::bigint AS sadness_score, sum(joy_score)::bigint AS joy_score,
        sum(love_score)::bigint AS love_score, sum(anger_score)::bigint AS anger_score,
        sum(fear_score)::bigint AS fear_score, sum(surprise_score)::bigint AS surprise_score
    FROM trend_cells
    WHERE dimension <> 'model'
    GROUP BY granularity, dimension, value, bucket
)
SELECT
    c.granularity, c.bucket, c.dimension, c.value, r.emotion, r.posts, r.total_posts, r.share, r.mean_score,
    coalesce(
        c.bucket + CASE c.granularity
            WHEN '1m' THEN interval '1 minute'
            WHEN '1h' THEN interval '1 hour'
            ELSE interval '24 hours'
        END <= (SELECT emotion_complete_until()),
        false
    ) AS complete
FROM cells AS c
CROSS JOIN LATERAL emotion_rows(
    c.sadness, c.joy, c.love, c.anger, c.fear, c.surprise, c.uncertain, c.unlabelled,
    c.sadness_score, c.joy_score, c.love_score, c.anger_score, c.fear_score, c.surprise_score
) AS r
WHERE c.sadness + c.joy + c.love + c.anger + c.fear + c.surprise + c.uncertain <> 0
    OR c.unlabelled <> 0;
COMMENT ON COLUMN emotion_trends.emotion IS 'sadness, joy, love, anger, fear, surprise, uncertain or unlabelled';

CREATE FUNCTION emotion_rolling(
    "window" interval, dimension text, value text, since timestamptz, until timestamptz,
    step interval DEFAULT '1 minute'
)
RETURNS SETOF emotion_trends
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT SET jit = off SET plan_cache_mode = force_custom_plan
AS $body$
#variable_conflict use_column
DECLARE
    width float8 := extract(epoch FROM "window");
    stride float8 := extract(epoch FROM step);
    cell_name text := '1m';
    cell interval := interval '1 minute';
    wide interval;
    pace interval;
    first_end timestamptz;
    last_end timestamptz;
    complete_until timestamptz := emotion_complete_until();
BEGIN
    IF width IS NULL OR stride IS NULL OR emotion_rolling.dimension IS NULL
        OR emotion_rolling.value IS NULL OR since IS NULL OR until IS NULL THEN
        RAISE EXCEPTION 'emotion_rolling: no argument may be null' USING ERRCODE = 'null_value_not_allowed';
    END IF;
    IF emotion_rolling.dimension NOT IN ('all', 'platform', 'lang', 'hashtag', 'topic') THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = 'emotion_rolling: there is no dimension ' || quote_literal(emotion_rolling.dimension),
            HINT = 'The dimensions are all, platform, lang, hashtag and topic.';
    END IF;
    -- Not width: an infinite interval has no minutes to count (and is no interval before Postgres 17).
    IF NOT isfinite("window") OR NOT isfinite(step) OR width < 60 OR stride < 60
        OR width <> 60 * round(width / 60) OR stride <> 60 * round(stride / 60)
        OR extract(year FROM "window") <> 0 OR extract(month FROM "window") <> 0
        OR extract(year FROM step) <> 0 OR extract(month FROM step) <> 0 THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = 'emotion_rolling: window and step must be whole minutes, not '
                || "window"::text || ' and ' || step::text,
            HINT = 'Months have no fixed length: say 30 days.';
    END IF;
    IF NOT isfinite(since) OR NOT isfinite(until) THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = 'emotion_rolling: since and until must be times, not infinity';
    END IF;
    IF extract(epoch FROM until - since) / stride > 1000000 THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = 'emotion_rolling: over a million steps from since to until',
            HINT = 'Ask for a shorter range or a longer step.';
    END IF;

    IF mod(width::numeric, 86400) = 0 AND mod(stride::numeric, 86400) = 0 THEN
        cell_name := '1d';
        cell := interval '24 hours';
    ELSIF mod(width::numeric, 3600) = 0 AND mod(stride::numeric, 3600) = 0 THEN
        cell_name := '1h';
        cell := interval '1 hour';
    END IF;
    -- Seconds only: a day of the session's time zone may have 23 hours.
    wide := make_interval(secs => width);
    pace := make_interval(secs => stride);
    first_end := date_bin(pace, since, timestamptz '2000-01-03 00:00:00Z') + pace;
    last_end := until + pace;

    RETURN QUERY
    WITH found AS (
        SELECT
            c.bucket AS start, false AS asked,
            c.sadness, c.joy, c.love, c.anger, c.fear, c.surprise, c.uncertain, c.unlabelled,
            c.sadness_score, c.joy_score, c.love_score, c.anger_score, c.fear_score,
            c.surprise_score
        FROM trend_cells c
        WHERE c.granularity = cell_name AND c.dimension = emotion_rolling.dimension
            AND c.value = emotion_rolling.value
            AND c.bucket >= first_end - wide AND c.bucket < last_end
        UNION ALL
        SELECT e - cell, true, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0
        FROM generate_series(first_end, last_end, pace) AS e
        WHERE e < last_end
    ), summed AS (
        SELECT
            start, asked,
            sum(sadness) OVER w AS sadness, sum(joy) OVER w AS joy, sum(love) OVER w AS love,
            sum(anger) OVER w AS anger, sum(fear) OVER w AS fear, sum(surprise) OVER w AS surprise,
            sum(uncertain) OVER w AS uncertain, sum(unlabelled) OVER w AS unlabelled,
            sum(sadness_score) OVER w AS sadness_score, sum(joy_score) OVER w AS joy_score,
            sum(love_score) OVER w AS love_score, sum(anger_score) OVER w AS anger_score,
            sum(fear_score) OVER w AS fear_score, sum(surprise_score) OVER w AS surprise_score
        FROM found
        WINDOW w AS (ORDER BY start RANGE BETWEEN wide - cell PRECEDING AND CURRENT ROW)
    )
    SELECT
        cell_name, s.start + cell - pace, emotion_rolling.dimension, emotion_rolling.value,
        r.emotion, r.posts, r.total_posts, r.share, r.mean_score,
        coalesce(s.start + cell <= complete_until, false)
    FROM summed s
    CROSS JOIN LATERAL emotion_rows(
        s.sadness::bigint, s.joy::bigint, s.love::bigint, s.anger::bigint, s.fear::bigint,
        s.surprise::bigint, s.uncertain::bigint, s.unlabelled::bigint,
        s.sadness_score::bigint, s.joy_score::bigint, s.love_score::bigint,
        s.anger_score::bigint, s.fear_score::bigint, s.surprise_score::bigint
    ) AS r
    WHERE s.asked
    ORDER BY s.start;
END;
$body$;
COMMENT ON FUNCTION emotion_rolling(interval, text, text, timestamptz, timestamptz, interval) IS 'The columns of emotion_trends over a trailing window: for each step in [since, until) and each emotion, the posts of the window that ends where that step ends; zeros where nothing was said. granularity is that of the cells summed';

CREATE VIEW emotion_voice AS
WITH cells AS (
    SELECT
        granularity, dimension, value, bucket,
        sum(sadness + joy + love + anger + fear + surprise + uncertain)::bigint AS total_posts,
        sum(unlabelled)::bigint AS unlabelled,
        sum(joy + love - sadness - anger - fear)::bigint AS net
    FROM trend_cells
    WHERE dimension <> 'model'
    GROUP BY granularity, dimension, value, bucket
)
SELECT
    c.granularity, c.bucket, c.dimension, c.value, c.total_posts,
    c.total_posts::float8 / nullif((
        SELECT sum(a.sadness + a.joy + a.love + a.anger + a.fear + a.surprise + a.uncertain)
        FROM trend_cells a
        WHERE a.granularity = c.granularity AND a.dimension = 'all' AND a.value = '*'
            AND a.bucket = c.bucket
    ), 0)::float8 AS share_of_voice,
    c.net::float8 / nullif(c.total_posts, 0) AS net_emotion,
    coalesce(
        c.bucket + CASE c.granularity
            WHEN '1m' THEN interval '1 minute'
            WHEN '1h' THEN interval '1 hour'
            ELSE interval '24 hours'
        END <= (SELECT emotion_complete_until()),
        false
    ) AS complete
FROM cells AS c
WHERE c.total_posts <> 0 OR c.unlabelled <> 0;
COMMENT ON VIEW emotion_voice IS 'How much of what is said, and how it feels on the whole: one row per bucket and dimension value';
COMMENT ON COLUMN emotion_voice.granularity IS '1m, 1h or 1d';
COMMENT ON COLUMN emotion_voice.bucket IS 'Start of the bucket, UTC, by the time of the post';
COMMENT ON COLUMN emotion_voice.dimension IS 'all, platform, lang, hashtag or topic';
COMMENT ON COLUMN emotion_voice.value IS '* for all; und for an unknown language';
COMMENT ON COLUMN emotion_voice.total_posts IS 'Labelled posts: the six emotions and uncertain';
COMMENT ON COLUMN emotion_voice.share_of_voice IS 'total_posts over those of dimension all in the same bucket; hashtags overlap, so that theirs do not sum to 1';
COMMENT ON COLUMN emotion_voice.net_emotion IS '(joy + love - sadness - anger - fear) / total_posts, from -1 to 1; surprise counts on neither side';
COMMENT ON COLUMN emotion_voice.complete IS 'True once every live partition has been read past the end of the bucket';

CREATE VIEW emotion_model_changes AS
WITH hours AS (
    SELECT
        bucket, value::integer AS model_id,
        sum(sadness + joy + love + anger + fear + surprise + uncertain + unlabelled)::bigint AS posts
    FROM trend_cells
    WHERE granularity = '1h' AND dimension = 'model'
    GROUP BY bucket, value
), dominant AS (
    SELECT DISTINCT ON (bucket) bucket, model_id, posts
    FROM hours
    WHERE posts > 0
    ORDER BY bucket, posts DESC, model_id DESC
), runs AS (
    SELECT
        bucket, model_id, posts,
        row_number() OVER (ORDER BY bucket)
            - row_number() OVER (PARTITION BY model_id ORDER BY bucket) AS run
    FROM dominant
)
SELECT
    r.model_id, m.name, m.version, r.since, r.until, r.posts,
    coalesce(r.until <= (SELECT emotion_complete_until()), false) AS complete
FROM (
    SELECT
        model_id, min(bucket) AS since, max(bucket) + interval '1 hour' AS until,
        sum(posts)::bigint AS posts
    FROM runs
    GROUP BY model_id, run
) AS r
LEFT JOIN models AS m ON m.id = r.model_id;
COMMENT ON VIEW emotion_model_changes IS 'Which model labelled from when to when: one row per run of hours in which the same model labelled most posts';
COMMENT ON COLUMN emotion_model_changes.model_id IS 'models.id';
COMMENT ON COLUMN emotion_model_changes.name IS 'Of the model';
COMMENT ON COLUMN emotion_model_changes.version IS 'Of the model';
COMMENT ON COLUMN emotion_model_changes.since IS 'Start of the first hour, by the time of the posts';
COMMENT ON COLUMN emotion_model_changes.until IS 'End of the last hour with posts of this run';
COMMENT ON COLUMN emotion_model_changes.posts IS 'Posts of these hours that this model labelled, or left unlabelled';
COMMENT ON COLUMN emotion_model_changes.complete IS 'True once every live partition has been read past until';

CREATE VIEW emotion_trends_rolling_1h AS
WITH buckets AS (
    SELECT dimension, value, bucket
    FROM trend_cells
    WHERE granularity = '1m' AND dimension <> 'model'
    GROUP BY dimension, value, bucket
    HAVING sum(sadness + joy + love + anger + fear + surprise + uncertain) <> 0 OR sum(unlabelled) <> 0
)
SELECT
    '1m'::text COLLATE "C" AS granularity, b.bucket, b.dimension, b.value,
    r.emotion, r.posts, r.total_posts, r.share, r.mean_score,
    coalesce(b.bucket + interval '1 minute' <= (SELECT emotion_complete_until()), false) AS complete
FROM buckets AS b
CROSS JOIN LATERAL (
    SELECT
        sum(sadness)::bigint AS sadness, sum(joy)::bigint AS joy, sum(love)::bigint AS love,
        sum(anger)::bigint AS anger, sum(fear)::bigint AS fear, sum(surprise)::bigint AS surprise,
        sum(uncertain)::bigint AS uncertain, sum(unlabelled)::bigint AS unlabelled,
        sum(sadness_score)::bigint AS sadness_score, sum(joy_score)::bigint AS joy_score,
        sum(love_score)::bigint AS love_score, sum(anger_score)::bigint AS anger_score,
        sum(fear_score)::bigint AS fear_score, sum(surprise_score)::bigint AS surprise_score
    FROM trend_cells AS t
    WHERE t.granularity = '1m' AND t.dimension = b.dimension AND t.value = b.value
        AND t.bucket > b.bucket - interval '60 minutes' AND t.bucket <= b.bucket
) AS c
CROSS JOIN LATERAL emotion_rows(
    c.sadness, c.joy, c.love, c.anger, c.fear, c.surprise, c.uncertain, c.unlabelled,
    c.sadness_score, c.joy_score, c.love_score, c.anger_score, c.fear_score, c.surprise_score
) AS r;

CREATE VIEW emotion_trends_rolling_24h AS
WITH buckets AS (
    SELECT dimension, value, bucket
    FROM trend_cells
    WHERE granularity = '1m' AND dimension <> 'model'
    GROUP BY dimension, value, bucket
    HAVING sum(sadness + joy + love + anger + fear + surprise + uncertain) <> 0 OR sum(unlabelled) <> 0
)
SELECT
    '1m'::text COLLATE "C" AS granularity, b.bucket, b.dimension, b.value,
    r.emotion, r.posts, r.total_posts, r.share, r.mean_score,
    coalesce(b.bucket + interval '1 minute' <= (SELECT emotion_complete_until()), false) AS complete
FROM buckets AS b
CROSS JOIN LATERAL (
    SELECT
        sum(sadness)::bigint AS sadness, sum(joy)::bigint AS joy, sum(love)::bigint AS love,
        sum(anger)::bigint AS anger, sum(fear)::bigint AS fear, sum(surprise)::bigint AS surprise,
        sum(uncertain)::bigint AS uncertain, sum(unlabelled)::bigint AS unlabelled,
        sum(sadness_score)::bigint AS sadness_score, sum(joy_score)::bigint AS joy_score,
        sum(love_score)::bigint AS love_score, sum(anger_score)::bigint AS anger_score,
        sum(fear_score)::bigint AS fear_score, sum(surprise_score)::bigint AS surprise_score
    FROM (
        SELECT * FROM trend_cells AS t
        WHERE t.granularity = '1m' AND t.dimension = b.dimension AND t.value = b.value
            AND t.bucket > b.bucket - interval '24 hours'
            AND t.bucket < date_trunc('hour', b.bucket, 'UTC') - interval '23 hours'
        UNION ALL
        SELECT * FROM trend_cells AS t
        WHERE t.granularity = '1h' AND t.dimension = b.dimension AND t.value = b.value
            AND t.bucket > b.bucket - interval '24 hours'
            AND t.bucket < date_trunc('hour', b.bucket, 'UTC')
        UNION ALL
        SELECT * FROM trend_cells AS t
        WHERE t.granularity = '1m' AND t.dimension = b.dimension AND t.value = b.value
            AND t.bucket >= date_trunc('hour', b.bucket, 'UTC') AND t.bucket <= b.bucket
    ) AS t
) AS c
CROSS JOIN LATERAL emotion_rows(
    c.sadness, c.joy, c.love, c.anger, c.fear, c.surprise, c.uncertain, c.unlabelled,
    c.sadness_score, c.joy_score, c.love_score, c.anger_score, c.fear_score, c.surprise_score
) AS r;

COMMENT ON VIEW emotion_trends_rolling_1h IS 'emotion_trends over a trailing window of one hour: one row per emotion for each minute with posts, of the window that ends with it. Ask for a dimension, a value and a range of buckets';
COMMENT ON COLUMN emotion_trends_rolling_1h.granularity IS '1m: of the buckets that the view has; the windows are longer';
COMMENT ON COLUMN emotion_trends_rolling_1h.bucket IS 'The minute with which the window ends: its last one';
COMMENT ON COLUMN emotion_trends_rolling_1h.dimension IS 'all, platform, lang, hashtag or topic';
COMMENT ON COLUMN emotion_trends_rolling_1h.value IS '* for all; und for an unknown language';
COMMENT ON COLUMN emotion_trends_rolling_1h.emotion IS 'sadness, joy, love, anger, fear, surprise, uncertain or unlabelled';
COMMENT ON COLUMN emotion_trends_rolling_1h.posts IS 'Posts of the window with this emotion';
COMMENT ON COLUMN emotion_trends_rolling_1h.total_posts IS 'Labelled posts of the window: the six emotions and uncertain';
COMMENT ON COLUMN emotion_trends_rolling_1h.share IS 'posts / total_posts; null for unlabelled';
COMMENT ON COLUMN emotion_trends_rolling_1h.mean_score IS 'Mean probability of the emotion over total_posts; null for uncertain and unlabelled';
COMMENT ON COLUMN emotion_trends_rolling_1h.complete IS 'True once every live partition has been read past the end of the window';
COMMENT ON VIEW emotion_trends_rolling_24h IS 'emotion_trends over a trailing window of 24 hours: one row per emotion for each minute with posts, of the window that ends with it. Ask for a dimension, a value and a range of buckets';
COMMENT ON COLUMN emotion_trends_rolling_24h.granularity IS '1m: of the buckets that the view has; the windows are longer';
COMMENT ON COLUMN emotion_trends_rolling_24h.bucket IS 'The minute with which the window ends: its last one';
COMMENT ON COLUMN emotion_trends_rolling_24h.dimension IS 'all, platform, lang, hashtag or topic';
COMMENT ON COLUMN emotion_trends_rolling_24h.value IS '* for all; und for an unknown language';
COMMENT ON COLUMN emotion_trends_rolling_24h.emotion IS 'sadness, joy, love, anger, fear, surprise, uncertain or unlabelled';
COMMENT ON COLUMN emotion_trends_rolling_24h.posts IS 'Posts of the window with this emotion';
COMMENT ON COLUMN emotion_trends_rolling_24h.total_posts IS 'Labelled posts of the window: the six emotions and uncertain';
COMMENT ON COLUMN emotion_trends_rolling_24h.share IS 'posts / total_posts; null for unlabelled';
COMMENT ON COLUMN emotion_trends_rolling_24h.mean_score IS 'Mean probability of the emotion over total_posts; null for uncertain and unlabelled';
COMMENT ON COLUMN emotion_trends_rolling_24h.complete IS 'True once every live partition has been read past the end of the window';

CREATE FUNCTION emotion_spikes(at timestamptz DEFAULT now(), min_posts integer DEFAULT 30)
RETURNS TABLE (
    dimension text, value text, emotion text, posts bigint,
    expected double precision, low double precision, high double precision, score double precision,
    share_now double precision, share_before double precision,
    post_ids text[], texts text[], hashtags text[], top_author_share double precision, note text
)
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT SET TimeZone = 'UTC'
SET jit = off SET plan_cache_mode = force_custom_plan
AS $body$
#variable_conflict use_column
DECLARE
    -- 200 values, six emotions and 24 hours make 28,800 comparisons a day, of which under one may
    -- exceed it by chance: 4.0 for a normal score, and some more for what is not normal about it.
    threshold CONSTANT float8 := 4.5;
    -- A rise below this is none that anybody would act on.
    least_ratio CONSTANT float8 := 1.5;
    -- Standard deviation over the expected count, at least: more where the days differ in kind.
    unknown float8 := 0.1;
    -- Times the median absolute deviation it is a normal's standard deviation.
    mad_scale CONSTANT float8 := 1.4826;
    dimensions CONSTANT text[] := '{all,platform,lang,topic,hashtag}';
    finish timestamptz := date_trunc('minute', emotion_spikes.at);
    start timestamptz := date_trunc('minute', emotion_spikes.at) - interval '1 hour';
    hour_now timestamptz := date_trunc('hour', date_trunc('minute', emotion_spikes.at) - interval '1 hour');
    -- The trailing hour lies across two hour cells, this much of it in the second.
    fraction float8 := extract(minute FROM emotion_spikes.at)::float8 / 60;
    weekend boolean := extract(isodow FROM date_trunc('minute', emotion_spikes.at) - interval '1 hour') > 5;
    oldest timestamptz;
    changed timestamptz;
    days integer[];
    alike integer[];
    remark text;
BEGIN
    IF start IS NULL OR emotion_spikes.min_posts IS NULL OR NOT isfinite(start) THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = 'emotion_spikes: at must be a time and min_posts a number';
    END IF;

    -- Earlier days on which the stream was read at about this time: nothing counts as zero there.
    SELECT min(c.bucket) INTO oldest
    FROM trend_cells c
    WHERE c.granularity = '1h' AND c.dimension = 'all' AND c.value = '*' AND c.bucket < start;
    SELECT coalesce(array_agg(d ORDER BY d), '{}') INTO days
    FROM generate_series(1, 28) AS d
    WHERE hour_now - make_interval(days => d) >= oldest AND EXISTS (
        SELECT FROM trend_cells c
        WHERE c.granularity = '1h' AND c.dimension = 'all' AND c.value = '*'
            AND c.bucket >= hour_now - make_interval(days => d, hours => 3)
            AND c.bucket <= hour_now - make_interval(days => d, hours => -3)
    );
    IF cardinality(days) < 3 THEN
        RAISE NOTICE USING MESSAGE = 'emotion_spikes: under 3 days of history before '
            || to_char(start, 'YYYY-MM-DD HH24:MI') || ' UTC, nothing to compare with';
        RETURN;
    END IF;

    -- The last hour in which another model labelled most; or the roll-out is under way right now.
    WITH minutes AS (
        SELECT c.value, sum(c.sadness + c.joy + c.love + c.anger + c.fear + c.surprise + c.uncertain) AS n
        FROM trend_cells c
        WHERE c.granularity = '1m' AND c.dimension = 'model' AND c.bucket >= start AND c.bucket < finish
        GROUP BY c.value
    ), current_model AS (
        SELECT m.value, m.n::float8 / nullif(sum(m.n) OVER (), 0) AS part
        FROM minutes m
        ORDER BY m.n DESC, m.value
        LIMIT 1
    ), dominant AS (
        SELECT DISTINCT ON (c.bucket) c.bucket, c.value
        FROM trend_cells c
        WHERE c.granularity = '1h' AND c.dimension = 'model'
            AND c.bucket >= hour_now - interval '29 days' AND c.bucket < start
        GROUP BY c.bucket, c.value
        ORDER BY c.bucket,
            sum(c.sadness + c.joy + c.love + c.anger + c.fear + c.surprise + c.uncertain) DESC, c.value
    )
    SELECT CASE WHEN m.part < .8 THEN start ELSE max(d.bucket) + interval '1 hour' END INTO changed
    FROM current_model m
    LEFT JOIN dominant d ON d.value <> m.value
    GROUP BY m.part;
    IF changed IS NOT NULL THEN
        SELECT coalesce(array_agg(d ORDER BY d), '{}') INTO days
        FROM unnest(days) AS d
        WHERE start - make_interval(days => d) >= changed;
        remark := 'the model changed at ' || to_char(changed, 'YYYY-MM-DD HH24:MI') || ' UTC: ';
        IF cardinality(days) < 3 THEN
            dimension := 'all';
            value := '*';
            note := remark || 'no hour is compared until there are 3 days of history since';
            RETURN NEXT;
            RETURN;
        END IF;
        remark := remark || 'compared with ' || cardinality(days) || ' days since';
    END IF;

    -- Days of the same part of the week, unless there are too few of them.
    SELECT coalesce(array_agg(d ORDER BY d), '{}') INTO alike
    FROM unnest(days) AS d
    WHERE (extract(isodow FROM start - make_interval(days => d)) > 5) = weekend;
    IF cardinality(alike) < 3 THEN
        alike := days;
        unknown := 0.2;
    END IF;

    RETURN QUERY
    WITH live AS MATERIALIZED (
        SELECT
            c.dimension, c.value,
            sum(c.sadness + c.joy + c.love + c.anger + c.fear + c.surprise + c.uncertain)::float8
                AS total,
            ARRAY[
                sum(c.sadness), sum(c.joy), sum(c.love), sum(c.anger), sum(c.fear), sum(c.surprise)
            ]::float8[] AS counts
        FROM trend_cells c
        WHERE c.granularity = '1m' AND c.dimension = ANY (dimensions)
            AND c.bucket >= start AND c.bucket < finish
        GROUP BY c.dimension, c.value
        HAVING greatest(
            sum(c.sadness), sum(c.joy), sum(c.love), sum(c.anger), sum(c.fear), sum(c.surprise)
        ) >= greatest(emotion_spikes.min_posts, 1)
    ), hours AS MATERIALIZED (
        SELECT d, h, hour_now - make_interval(days => d) + make_interval(hours => h) AS bucket
        FROM unnest(alike) AS d
        CROSS JOIN generate_series(0, CASE WHEN fraction > 0 THEN 1 ELSE 0 END) AS h
    ), past AS MATERIALIZED (
        -- The same hour of each earlier day, between its two hour cells by the minutes in each.
        SELECT
            l.dimension, l.value, h.d,
            sum(p.weight * (
                c.sadness + c.joy + c.love + c.anger + c.fear + c.surprise + c.uncertain
            )) AS total,
            sum(p.weight * c.sadness) AS sadness, sum(p.weight * c.joy) AS joy,
            sum(p.weight * c.love) AS love, sum(p.weight * c.anger) AS anger,
            sum(p.weight * c.fear) AS fear, sum(p.weight * c.surprise) AS surprise
        FROM live l
        CROSS JOIN LATERAL (
            SELECT * FROM trend_cells c
            WHERE c.granularity = '1h' AND c.dimension = l.dimension AND c.value = l.value
                AND c.bucket = ANY (ARRAY(SELECT bucket FROM hours))
            OFFSET 0 -- a look-up for each value: never all hours of all values
        ) AS c
        JOIN hours h ON h.bucket = c.bucket
        CROSS JOIN LATERAL (SELECT CASE h.h WHEN 0 THEN 1 - fraction ELSE fraction END AS weight) AS p
        GROUP BY l.dimension, l.value, h.d
    ), compared AS (
        SELECT
            l.dimension, l.value, e.emotion, l.counts[e.place] AS posts, l.total,
            percentile_cont(0.5) WITHIN GROUP (ORDER BY coalesce(f.found, 0)) AS usual,
            CASE WHEN count(*) FILTER (WHERE mod(a.d, 7) = 0) >= 3 THEN
                percentile_cont(0.5) WITHIN GROUP (ORDER BY coalesce(f.found, 0))
                    FILTER (WHERE mod(a.d, 7) = 0)
            END AS weekly,
            CASE WHEN count(*) FILTER (WHERE a.d <= 14) >= 3 THEN
                percentile_cont(0.5) WITHIN GROUP (ORDER BY coalesce(f.found, 0))
                    FILTER (WHERE a.d <= 14)
            END AS lately,
            sum(f.found) / nullif(sum(p.total), 0) AS share_before
        FROM live l
        CROSS JOIN unnest('{sadness,joy,love,anger,fear,surprise}'::text[]) WITH ORDINALITY
            AS e (emotion, place)
        CROSS JOIN unnest(alike) AS a (d)
        LEFT JOIN past p ON p.dimension = l.dimension AND p.value = l.value AND p.d = a.d
        CROSS JOIN LATERAL (SELECT CASE e.place
            WHEN 1 THEN p.sadness WHEN 2 THEN p.joy WHEN 3 THEN p.love
            WHEN 4 THEN p.anger WHEN 5 THEN p.fear ELSE p.surprise END AS found) AS f
        WHERE l.counts[e.place] >= emotion_spikes.min_posts
        GROUP BY l.dimension, l.value, e.emotion, e.place, l.counts, l.total
    ), risen AS MATERIALIZED (
        -- Variance is at least the mean, so that who does not pass here would not pass below.
        SELECT c.*, greatest(c.usual, c.weekly, c.lately, 1) AS mean
        FROM compared c
        WHERE c.posts > least_ratio * greatest(c.usual, c.weekly, c.lately, 1)
    ), scored AS (
        SELECT
            r.*,
            -- Variance over mean; a median of n has pi / 2n of it itself.
            greatest(1 + unknown ^ 2 * r.mean, v.dispersion) * (1 + 1.57 / cardinality(alike))
                AS dispersion
        FROM risen r
        CROSS JOIN LATERAL (
            -- The hours around it on all days, each against its own usual count on such days. The
            -- factor for few of them: Croux and Rousseeuw, Time-efficient algorithms for two highly
            -- robust estimators of scale (1992).
            SELECT (
                mad_scale * percentile_cont(0.5) WITHIN GROUP (ORDER BY g.deviation * g.small)
            ) ^ 2 AS dispersion
            FROM (
                SELECT
                    abs(y.found - y.middle) / sqrt(greatest(y.middle, 1)) AS deviation,
                    y.n / (y.n - .8) AS small
                FROM (
                    SELECT q.found, q.n, q.middle
                    FROM (
                        SELECT
                            array_agg(coalesce(c.found, 0)) AS all_found, count(*) AS n,
                            percentile_cont(0.5) WITHIN GROUP (ORDER BY coalesce(c.found, 0)) AS middle
                        FROM unnest(days) AS a (d)
                        CROSS JOIN generate_series(-2, 3) AS k (h)
                        LEFT JOIN (
                            SELECT
                                c.bucket,
                                sum(CASE r.emotion
                                    WHEN 'sadness' THEN c.sadness WHEN 'joy' THEN c.joy
                                    WHEN 'love' THEN c.love WHEN 'anger' THEN c.anger
                                    WHEN 'fear' THEN c.fear ELSE c.surprise END)::float8 AS found
                            FROM trend_cells c
                            WHERE c.granularity = '1h' AND c.dimension = r.dimension
                                AND c.value = r.value
                                AND c.bucket = ANY (ARRAY(
                                    SELECT hour_now + make_interval(days => -d, hours => h)
                                    FROM unnest(days) AS d CROSS JOIN generate_series(-2, 3) AS h
                                ))
                            GROUP BY c.bucket
                        ) AS c ON c.bucket = hour_now + make_interval(days => -a.d, hours => k.h)
                        GROUP BY k.h, extract(isodow FROM start - make_interval(days => a.d)) > 5
                        HAVING count(*) >= 3
                    ) AS p
                    CROSS JOIN LATERAL unnest(p.all_found) AS u (found)
                    CROSS JOIN LATERAL (SELECT u.found, p.n, p.middle) AS q
                ) AS y
            ) AS g
        ) AS v
        WHERE sqrt(2 * (r.posts * ln(r.posts / r.mean) - (r.posts - r.mean))) > threshold
    ), spikes AS MATERIALIZED (
        SELECT
            s.*,
            sqrt(2 * (s.posts * ln(s.posts / s.mean) - (s.posts - s.mean)) / s.dispersion) AS score,
            3 * sqrt(s.dispersion * s.mean) AS reach
        FROM scored s
        WHERE sqrt(2 * (s.posts * ln(s.posts / s.mean) - (s.posts - s.mean)) / s.dispersion) > threshold
    ), behind AS MATERIALIZED (
        SELECT
            s.dimension, s.value, s.emotion, p.platform || ':' || p.post_id AS post_id, p.text,
            p.author_hash, p.hashtags,
            row_number() OVER (
                PARTITION BY s.dimension, s.value, s.emotion
                ORDER BY p.confidence DESC NULLS LAST, p.created_at DESC, p.platform, p.post_id
            ) AS place
        FROM (SELECT * FROM post_emotions WHERE created_at >= start AND created_at < finish) AS p
        CROSS JOIN LATERAL emotion_dimensions(p.platform, p.lang, p.topic, p.hashtags, NULL) AS d
        JOIN spikes s ON s.dimension = d.dimension AND s.value = d.value AND s.emotion = p.emotion
    ), tags AS MATERIALIZED (
        SELECT b.dimension, b.value, b.emotion, t.tag, count(*) AS posts
        FROM behind b
        CROSS JOIN LATERAL unnest(b.hashtags) AS t (tag)
        WHERE b.dimension <> 'hashtag' OR b.value <> t.tag
        GROUP BY b.dimension, b.value, b.emotion, t.tag
        HAVING count(*) >= 3
    ), usual_tags AS MATERIALIZED (
        -- A mean over the days of the tag's posts with the emotion, wherever they were.
        SELECT w.emotion, w.tag, coalesce(u.posts, 0) AS posts
        FROM (SELECT DISTINCT t.emotion, t.tag FROM tags t) AS w
        CROSS JOIN LATERAL (
            SELECT
                sum(CASE h.h WHEN 0 THEN 1 - fraction ELSE fraction END * CASE w.emotion
                    WHEN 'sadness' THEN c.sadness WHEN 'joy' THEN c.joy WHEN 'love' THEN c.love
                    WHEN 'anger' THEN c.anger WHEN 'fear' THEN c.fear ELSE c.surprise END)
                / cardinality(alike) AS posts
            FROM (
                SELECT * FROM trend_cells c
                WHERE c.granularity = '1h' AND c.dimension = 'hashtag' AND c.value = w.tag
                    AND c.bucket = ANY (ARRAY(SELECT bucket FROM hours))
                OFFSET 0
            ) AS c
            JOIN hours h ON h.bucket = c.bucket
        ) AS u
    )
    SELECT
        s.dimension, s.value, s.emotion, s.posts::bigint,
        s.mean, greatest(0, s.mean - s.reach), s.mean + s.reach, s.score,
        s.posts / nullif(s.total, 0), s.share_before,
        coalesce(w.post_ids, '{}'), coalesce(w.texts, '{}'),
        coalesce(ARRAY(
            SELECT t.tag
            FROM tags t
            JOIN usual_tags u ON u.emotion = t.emotion AND u.tag = t.tag
            WHERE t.dimension = s.dimension AND t.value = s.value AND t.emotion = s.emotion
                AND t.posts - u.posts >= .1 * (s.posts - s.mean)
            ORDER BY t.posts - u.posts DESC, t.tag
            LIMIT 5
        ), '{}'),
        a.top, remark
    FROM spikes s
    LEFT JOIN LATERAL (
        SELECT
            array_agg(b.post_id ORDER BY b.place) AS post_ids,
            array_agg(b.text ORDER BY b.place) FILTER (WHERE b.text IS NOT NULL) AS texts
        FROM behind b
        WHERE b.dimension = s.dimension AND b.value = s.value AND b.emotion = s.emotion
            AND b.place <= 5
    ) AS w ON true
    LEFT JOIN LATERAL (
        SELECT max(n.posts) / sum(n.posts) AS top
        FROM (
            SELECT count(*)::float8 AS posts
            FROM behind b
            WHERE b.dimension = s.dimension AND b.value = s.value AND b.emotion = s.emotion
                AND b.author_hash IS NOT NULL
            GROUP BY b.author_hash
        ) AS n
    ) AS a ON true
    ORDER BY s.score DESC, s.dimension, s.value, s.emotion;
END;
$body$;
COMMENT ON FUNCTION emotion_spikes(timestamptz, integer) IS 'What is unusually high in the hour before at: dimension values with at least min_posts posts of an emotion, more than the same hour of the last 28 days explains. No row compares across a change of model; where it would, the one row with a null score says so';

-- Which values were said in the last hour: without it, Postgres 17 and older read the dimension whole.
CREATE INDEX trend_cells_1m_dimension_bucket ON trend_cells_1m (dimension, bucket);
-- The posts of an hour. Rows lie about in the order of their times, so that a summary is enough.
CREATE INDEX post_emotions_created_at ON post_emotions USING brin (created_at)
    WITH (pages_per_range = 32, autosummarize = on);

-- The cells by model of the labels there are, as add_cells.sql would have written them.
WITH minutes AS MATERIALIZED (
    SELECT
        date_trunc('minute', created_at, 'UTC') AS bucket, model_id::text AS value,
        count(*) FILTER (WHERE emotion = 'sadness') AS sadness,
        count(*) FILTER (WHERE emotion = 'joy') AS joy,
        count(*) FILTER (WHERE emotion = 'love') AS love,
        count(*) FILTER (WHERE emotion = 'anger') AS anger,
        count(*) FILTER (WHERE emotion = 'fear') AS fear,
        count(*) FILTER (WHERE emotion = 'surprise') AS surprise,
        count(*) FILTER (WHERE emotion = 'uncertain') AS uncertain,
        count(*) FILTER (WHERE emotion = 'unlabelled') AS unlabelled,
        coalesce(sum(round(sadness::float8 * 1e6)::bigint), 0) AS sadness_score,
        coalesce(sum(round(joy::float8 * 1e6)::bigint), 0) AS joy_score,
        coalesce(sum(round(love::float8 * 1e6)::bigint), 0) AS love_score,
        coalesce(sum(round(anger::float8 * 1e6)::bigint), 0) AS anger_score,
        coalesce(sum(round(fear::float8 * 1e6)::bigint), 0) AS fear_score,
        coalesce(sum(round(surprise::float8 * 1e6)::bigint), 0) AS surprise_score
    FROM post_emotions
    GROUP BY 1, 2
)
INSERT INTO trend_cells (
    granularity, dimension, value, bucket, slot,
    sadness, joy, love, anger, fear, surprise, uncertain, unlabelled,
    sadness_score, joy_score, love_score, anger_score, fear_score, surprise_score
)
SELECT
    g.granularity, 'model', value, date_trunc(g.unit, bucket, 'UTC') AS start, 0,
    sum(sadness), sum(joy), sum(love), sum(anger), sum(fear), sum(surprise),
    sum(uncertain), sum(unlabelled),
    sum(sadness_score), sum(joy_score), sum(love_score),
    sum(anger_score), sum(fear_score), sum(surprise_score)
FROM minutes
CROSS JOIN (VALUES ('1m', 'minute'), ('1h', 'hour'), ('1d', 'day')) AS g (granularity, unit)
WHERE g.granularity <> '1m'
    OR bucket >= coalesce((SELECT minute_floor FROM policy), '-infinity')
GROUP BY g.granularity, value, start
ORDER BY g.granularity, value, start;
