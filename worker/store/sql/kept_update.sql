UPDATE kept_labels k
SET version = b.version, kept_generation = b.generation, created_at = b.created_at,
    topic = b.topic, topic_id = b.topic_id, kafka_partition = b.kafka_partition,
    kafka_offset = b.kafka_offset, lang = b.lang, author_hash = b.author_hash,
    hashtags = b.hashtags, emotion = b.emotion, unlabelled_reason = b.unlabelled_reason,
    confidence = b.confidence, sadness = b.sadness, joy = b.joy, love = b.love, anger = b.anger,
    fear = b.fear, surprise = b.surprise, model_id = %(model_id)b, labelled_at = now(),
    label_topic = CASE WHEN %(keeps_topics)b THEN coalesce(k.label_topic, b.topic) ELSE b.topic END,
    text = b.text
FROM batch_posts b
WHERE b.ordinal = ANY (%(ordinals)b)
    AND k.generation = %(generation)b AND k.platform = b.platform AND k.post_id = b.post_id
