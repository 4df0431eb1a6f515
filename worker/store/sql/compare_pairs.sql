-- A confidence of 0.3 is stored a little below or above it; as a decimal it is what it says.
SELECT
    before_emotion, after_emotion, before_top = after_top,
    least(9, floor(before_confidence::numeric * 10))::integer,
    least(9, floor(after_confidence::numeric * 10))::integer,
    count(*),
    coalesce(sum(before_confidence::float8), 0), coalesce(sum(after_confidence::float8), 0)
FROM compared
WHERE status = 'compared'
GROUP BY 1, 2, 3, 4, 5
ORDER BY 1, 2, 3, 4, 5
