SELECT value FROM emotion_voice
WHERE granularity = %(granularity)s AND dimension = %(dimension)s
  AND bucket >= %(since)s AND bucket < %(until)s
GROUP BY value
ORDER BY sum(total_posts) DESC, value
LIMIT %(limit)s
