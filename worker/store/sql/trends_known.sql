SELECT EXISTS (
    SELECT FROM emotion_trends
    WHERE granularity = '1d' AND dimension = %(dimension)s AND value = %(value)s
)
