SELECT model_id, name, version, since, least(until, '9999-12-31 23:59Z'), posts, complete
FROM emotion_model_changes
WHERE until > %(since)s AND since < %(until)s
ORDER BY since
