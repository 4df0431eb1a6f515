-- A live post without a label: without its identity too, its records are new when they come again.
DELETE FROM posts p
USING unnest(%(platforms)b::text[], %(post_ids)b::text[]) AS k (platform, post_id)
WHERE p.platform = k.platform AND p.post_id = k.post_id AND p.state = 'live'
    AND NOT EXISTS (
        SELECT FROM post_emotions e
        WHERE e.platform = p.platform AND e.post_id = p.post_id AND e.created_at = p.created_at
    )
RETURNING p.created_at, p.platform, p.post_id
