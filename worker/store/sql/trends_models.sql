SELECT model_id, name, version, since, until, posts, complete
FROM emotion_model_changes
WHERE until > %(since)s AND since < %(until)s
ORDER BY since
