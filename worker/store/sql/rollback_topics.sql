UPDATE batch_posts b
SET topic = k.label_topic
FROM kept_labels k
WHERE b.ordinal = ANY (%(ordinals)b) AND k.generation = %(generation)b
    AND k.platform = b.platform AND k.post_id = b.post_id AND k.label_topic <> b.topic
