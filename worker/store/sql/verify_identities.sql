-- One label for each live identity, and no other label. What lies below the floor is on its way out.
SELECT platform, post_id, p.state, p.created_at, e.created_at
FROM posts p
FULL JOIN post_emotions e USING (platform, post_id)
CROSS JOIN (SELECT coalesce(label_floor, '-infinity') AS label_floor FROM policy) AS policy_now
WHERE (
        (p.state IS DISTINCT FROM 'live' AND e.created_at IS NOT NULL)
        OR (p.state = 'live' AND e.created_at IS DISTINCT FROM p.created_at)
    )
    AND greatest(p.created_at, e.created_at) >= label_floor
ORDER BY platform, post_id
LIMIT %(limit)s
