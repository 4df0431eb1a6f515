DELETE FROM posts p
USING batch_posts b
WHERE b.ordinal = ANY (%(ordinals)b) AND p.platform = b.platform AND p.post_id = b.post_id
