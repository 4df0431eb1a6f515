SELECT
    date_trunc('day', min(day), 'UTC'),
    date_trunc('day', max(day), 'UTC')
FROM (
    SELECT min(created_at) AS day FROM post_emotions
    UNION ALL SELECT max(created_at) FROM post_emotions
    UNION ALL SELECT min(bucket) FROM trend_cells_1d
    UNION ALL SELECT max(bucket) FROM trend_cells_1d
) AS ends
