-- Of what is below the floor; a withdrawn identity never is. Locked in the order of all writers.
WITH locked AS (
    SELECT p.platform, p.post_id
    FROM posts p
    JOIN unnest(%(platforms)b::text[], %(post_ids)b::text[]) AS k (platform, post_id)
        ON p.platform = k.platform AND p.post_id = k.post_id
    WHERE p.state = 'live' AND p.created_at < %(floor)b
    ORDER BY p.platform, p.post_id
    FOR UPDATE OF p
)
DELETE FROM posts p USING locked l WHERE p.platform = l.platform AND p.post_id = l.post_id
