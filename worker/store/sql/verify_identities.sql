-- One label for each live identity, and no other label. What lies below the floor is on its way out.
WITH policy_now AS (
    SELECT coalesce(label_floor, '-infinity') AS label_floor FROM policy
), identities AS (
    SELECT platform, post_id, state, created_at
    FROM posts CROSS JOIN policy_now
    WHERE state <> 'live' OR created_at >= label_floor
), labels AS (
    SELECT platform, post_id, created_at
    FROM post_emotions CROSS JOIN policy_now
    WHERE created_at >= label_floor
)
SELECT platform, post_id, p.state, p.created_at, e.created_at
FROM identities p
FULL JOIN labels e USING (platform, post_id)
WHERE (p.state IS DISTINCT FROM 'live' AND e.created_at IS NOT NULL)
    OR (p.state = 'live' AND e.created_at IS DISTINCT FROM p.created_at)
ORDER BY platform, post_id
LIMIT %(limit)s
