-- One label for each live identity, and no other label.
SELECT platform, post_id, p.state, p.created_at, e.created_at
FROM posts p
FULL JOIN post_emotions e USING (platform, post_id)
WHERE (p.state IS DISTINCT FROM 'live' AND e.created_at IS NOT NULL)
    OR (p.state = 'live' AND e.created_at IS DISTINCT FROM p.created_at)
ORDER BY platform, post_id
LIMIT %(limit)s
