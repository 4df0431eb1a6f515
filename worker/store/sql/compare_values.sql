WITH counted AS (
    SELECT d.dimension, d.value, c.before_emotion, c.after_emotion, count(*) AS posts
    FROM compared c
    CROSS JOIN LATERAL emotion_dimensions(c.platform, c.lang, c.topic, c.hashtags, NULL) AS d
    WHERE c.status = 'compared' AND d.dimension = ANY (%(dimensions)s)
    GROUP BY 1, 2, 3, 4
), ranked AS (
    SELECT
        dimension, value,
        row_number() OVER (
            PARTITION BY dimension ORDER BY sum(posts) DESC, value COLLATE "C"
        ) AS place
    FROM counted
    GROUP BY dimension, value
)
SELECT c.dimension, c.value, c.before_emotion, c.after_emotion, c.posts
FROM counted c
JOIN ranked r ON r.dimension = c.dimension AND r.value = c.value
WHERE r.place <= %(top)s
ORDER BY c.dimension, r.place, c.before_emotion, c.after_emotion
