SELECT value FROM emotion_trends
WHERE granularity = %(granularity)s AND dimension = %(dimension)s
  AND bucket >= %(since)s AND bucket < %(until)s
GROUP BY value
ORDER BY sum(posts) DESC, value
LIMIT %(limit)s
