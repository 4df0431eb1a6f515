-- An erased identity lives in erasures alone; whoever sees a record of it next finds it there.
WITH remembered AS (
    INSERT INTO erasures (kind, hash)
    SELECT DISTINCT 'post', post_hash FROM batch_posts WHERE ordinal = ANY (%(ordinals)b)
    ORDER BY 2
    ON CONFLICT DO NOTHING
)
DELETE FROM posts p
USING batch_posts b
WHERE b.ordinal = ANY (%(ordinals)b) AND p.platform = b.platform AND p.post_id = b.post_id
