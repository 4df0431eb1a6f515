SELECT
    (SELECT count(*) FROM post_emotions WHERE emotion <> 'unlabelled'),
    (SELECT count(*) FROM post_emotions WHERE emotion = 'unlabelled'),
    (SELECT count(*) FROM dead_letters),
    (
        SELECT coalesce(sum(posts), 0)::bigint
        FROM emotion_trends
        WHERE granularity = '1d' AND dimension = 'all'
    )
