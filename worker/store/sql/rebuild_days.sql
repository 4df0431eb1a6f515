SELECT bucket FROM trend_cells WHERE granularity = '1d'
UNION
SELECT date_trunc('day', created_at, 'UTC') FROM post_emotions
ORDER BY 1
