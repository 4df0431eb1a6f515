-- The identities are locked: a label elsewhere than where a live one says is nobody's. Its cells are
-- seen to with all others.
DELETE FROM post_emotions e
USING unnest(%(platforms)b::text[], %(post_ids)b::text[], %(times)b::timestamptz[])
    AS k (platform, post_id, created_at)
WHERE e.platform = k.platform AND e.post_id = k.post_id AND e.created_at = k.created_at
    AND e.created_at BETWEEN %(oldest)b AND %(newest)b
    AND NOT EXISTS (
        SELECT FROM posts p
        WHERE p.platform = e.platform AND p.post_id = e.post_id
            AND p.state = 'live' AND p.created_at = e.created_at
    )
RETURNING e.created_at
