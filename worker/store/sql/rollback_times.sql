UPDATE post_emotions e
SET labelled_at = k.labelled_at
FROM batch_posts b
JOIN kept_labels k ON k.platform = b.platform AND k.post_id = b.post_id
WHERE b.ordinal = ANY (%(ordinals)b) AND k.generation = %(generation)b
    AND e.platform = k.platform AND e.post_id = k.post_id AND e.created_at = k.created_at
