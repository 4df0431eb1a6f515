UPDATE shadow_labels s
SET version = b.version, created_at = b.created_at, topic = b.topic, topic_id = b.topic_id,
    kafka_partition = b.kafka_partition, kafka_offset = b.kafka_offset, lang = b.lang,
    author_hash = coalesce(b.author_hash, s.author_hash), hashtags = b.hashtags,
    emotion = b.emotion, unlabelled_reason = b.unlabelled_reason, confidence = b.confidence,
    sadness = b.sadness, joy = b.joy, love = b.love, anger = b.anger, fear = b.fear,
    surprise = b.surprise, text = b.text
FROM batch_posts b
WHERE b.ordinal = ANY (%(ordinals)b)
    AND s.replay = %(replay)b AND s.platform = b.platform AND s.post_id = b.post_id
