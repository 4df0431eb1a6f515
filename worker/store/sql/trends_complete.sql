SELECT max(bucket) FROM emotion_trends
WHERE granularity = %(granularity)s AND dimension = 'all' AND value = '*' AND complete
  AND bucket >= %(since)s AND bucket < %(until)s
