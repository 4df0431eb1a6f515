DELETE FROM posts p
USING unnest(%(platforms)b::text[], %(post_ids)b::text[]) AS k (platform, post_id)
WHERE p.platform = k.platform AND p.post_id = k.post_id
RETURNING p.platform, p.post_id, p.created_at
