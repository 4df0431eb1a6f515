SELECT ordinal, bool_or(by_post)
FROM (
    SELECT b.ordinal, true AS by_post
    FROM batch_posts b JOIN erasures e ON e.kind = 'post' AND e.hash = b.post_hash
    UNION ALL
    SELECT b.ordinal, false
    FROM batch_posts b JOIN erasures e ON e.kind = 'author' AND e.hash = decode(b.author_hash, 'hex')
) AS found
GROUP BY ordinal
