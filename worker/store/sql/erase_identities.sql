-- An erased identity lives in erasures alone; whoever sees a record of it next finds it there.
WITH remembered AS (
    INSERT INTO erasures (kind, hash)
    SELECT DISTINCT 'post', post_hash FROM batch_posts WHERE ordinal = ANY (%(ordinals)b)
    ORDER BY 2
    ON CONFLICT DO NOTHING
), kept AS (
    DELETE FROM kept_labels k
    USING batch_posts b, replays r
    WHERE b.ordinal = ANY (%(ordinals)b) AND k.generation = r.generation
        AND k.platform = b.platform AND k.post_id = b.post_id
), shadowed AS (
    DELETE FROM shadow_labels s
    USING batch_posts b, replays r
    WHERE b.ordinal = ANY (%(ordinals)b) AND s.replay = r.name
        AND s.platform = b.platform AND s.post_id = b.post_id
)
DELETE FROM posts p
USING batch_posts b
WHERE b.ordinal = ANY (%(ordinals)b) AND p.platform = b.platform AND p.post_id = b.post_id
