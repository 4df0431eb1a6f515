SELECT
    date_bin(%(width)s::interval, bucket, %(origin)s::timestamptz) AS start,
    value, emotion, sum(posts)::bigint, sum(total_posts)::bigint,
    CASE WHEN emotion <> 'unlabelled' THEN sum(posts)::float8 / nullif(sum(total_posts), 0) END,
    sum(mean_score * total_posts) / nullif(sum(total_posts), 0),
    bool_and(complete)
FROM emotion_trends
WHERE granularity = %(granularity)s AND dimension = %(dimension)s
  AND (%(values)s::text[] IS NULL OR value = ANY (%(values)s::text[]))
  AND bucket >= %(since)s AND bucket < %(until)s
GROUP BY start, value, emotion
ORDER BY start, value, emotion
