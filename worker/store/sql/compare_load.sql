-- A replay's labels beside the others, in one snapshot: before its promotion its own wait and the
-- live ones stand, after it its own stand and those of before are kept, in the middle there is both.
WITH sides AS (
    SELECT
        true AS waits, s.platform, s.post_id, s.version, NULL::integer AS model_id, s.emotion,
        s.confidence,
        CASE greatest(s.sadness, s.joy, s.love, s.anger, s.fear, s.surprise)
            WHEN s.sadness THEN 1 WHEN s.joy THEN 2 WHEN s.love THEN 3
            WHEN s.anger THEN 4 WHEN s.fear THEN 5 WHEN s.surprise THEN 6
        END AS top
    FROM shadow_labels s
    WHERE s.replay = %(replay)s
    UNION ALL
    SELECT
        false, k.platform, k.post_id, k.version, k.model_id, k.emotion, k.confidence,
        CASE greatest(k.sadness, k.joy, k.love, k.anger, k.fear, k.surprise)
            WHEN k.sadness THEN 1 WHEN k.joy THEN 2 WHEN k.love THEN 3
            WHEN k.anger THEN 4 WHEN k.fear THEN 5 WHEN k.surprise THEN 6
        END
    FROM kept_labels k
    WHERE k.generation = %(generation)s::integer
), standing AS MATERIALIZED (
    SELECT
        s.*, p.created_at,
        CASE
            WHEN p.state = 'withdrawn' OR (s.waits AND s.version IS NULL) THEN 'withdrawn'
            WHEN p.state IS NULL THEN CASE WHEN s.waits THEN 'unseen' ELSE 'superseded' END
            WHEN NOT s.waits AND p.generation <> %(generation)s::integer THEN 'superseded'
            WHEN p.version = s.version THEN 'compared'
            WHEN s.waits THEN 'superseded'
            ELSE 'unseen'
        END AS status
    FROM sides s
    LEFT JOIN posts p ON p.platform = s.platform AND p.post_id = s.post_id
), bounds AS MATERIALIZED (
    -- For the planner: days without any of these posts are passed over.
    SELECT min(created_at) AS oldest, max(created_at) AS newest
    FROM standing
    WHERE status = 'compared'
), labels AS (
    SELECT
        e.*,
        CASE greatest(e.sadness, e.joy, e.love, e.anger, e.fear, e.surprise)
            WHEN e.sadness THEN 1 WHEN e.joy THEN 2 WHEN e.love THEN 3
            WHEN e.anger THEN 4 WHEN e.fear THEN 5 WHEN e.surprise THEN 6
        END AS top
    FROM post_emotions e
    WHERE e.created_at >= (SELECT oldest FROM bounds)
        AND e.created_at <= (SELECT newest FROM bounds)
)
INSERT INTO compared
SELECT
    CASE WHEN s.status = 'compared' AND e.emotion IS NULL THEN 'withdrawn' ELSE s.status END,
    s.platform, s.post_id, e.created_at, e.topic, e.lang, e.hashtags,
    CASE WHEN s.waits THEN e.model_id ELSE s.model_id END,
    CASE WHEN s.waits THEN e.emotion ELSE s.emotion END,
    CASE WHEN s.waits THEN e.confidence ELSE s.confidence END,
    CASE WHEN s.waits THEN e.top ELSE s.top END,
    CASE WHEN s.waits THEN s.emotion ELSE e.emotion END,
    CASE WHEN s.waits THEN s.confidence ELSE e.confidence END,
    CASE WHEN s.waits THEN s.top ELSE e.top END
FROM standing s
LEFT JOIN labels e
    ON s.status = 'compared' AND e.platform = s.platform AND e.post_id = s.post_id
    AND e.created_at = s.created_at
