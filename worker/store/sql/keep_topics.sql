UPDATE batch_posts b
SET topic = e.topic
FROM unnest(%(platforms)b::text[], %(post_ids)b::text[], %(times)b::timestamptz[])
    AS k (platform, post_id, created_at)
JOIN post_emotions e
    ON e.platform = k.platform AND e.post_id = k.post_id AND e.created_at = k.created_at
WHERE b.ordinal = ANY (%(ordinals)b) AND b.platform = k.platform AND b.post_id = k.post_id
    AND e.created_at BETWEEN %(oldest)b AND %(newest)b
