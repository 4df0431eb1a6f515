SELECT min(bucket), max(bucket) FROM emotion_trends
WHERE granularity = %(granularity)s AND dimension = 'all' AND value = '*'
  AND bucket >= %(since)s AND bucket < %(until)s
