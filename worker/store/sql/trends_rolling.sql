SELECT r.bucket, r.value, r.emotion, r.posts, r.total_posts, r.share, r.mean_score, r.complete
FROM unnest(%(values)s::text[]) AS v (value)
CROSS JOIN LATERAL emotion_rolling(
    %(width)s::interval, %(dimension)s, v.value, %(since)s, %(until)s, %(step)s::interval
) AS r
ORDER BY r.bucket, r.value, r.emotion
