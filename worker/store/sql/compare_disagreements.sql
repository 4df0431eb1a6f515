WITH chosen AS (
    SELECT *
    FROM compared
    WHERE status = 'compared' AND before_emotion <> after_emotion
        AND before_confidence IS NOT NULL AND after_confidence IS NOT NULL
    ORDER BY least(before_confidence, after_confidence) DESC, platform, post_id
    LIMIT %(top)s
)
SELECT
    c.platform, c.post_id, c.before_emotion, c.before_confidence, c.after_emotion,
    c.after_confidence, e.text
FROM chosen c
LEFT JOIN post_emotions e
    ON e.platform = c.platform AND e.post_id = c.post_id AND e.created_at = c.created_at
ORDER BY least(c.before_confidence, c.after_confidence) DESC, c.platform, c.post_id
