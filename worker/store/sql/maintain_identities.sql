-- Of what is below the floor; a withdrawn identity never is.
DELETE FROM posts p
USING unnest(%(platforms)b::text[], %(post_ids)b::text[]) AS k (platform, post_id)
WHERE p.platform = k.platform AND p.post_id = k.post_id
    AND p.state = 'live' AND p.created_at < %(floor)b
