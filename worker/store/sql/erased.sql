SELECT b.ordinal FROM batch_posts b JOIN erasures e ON e.kind = 'post' AND e.hash = b.post_hash
UNION
SELECT b.ordinal FROM batch_posts b
JOIN erasures e ON e.kind = 'author' AND e.hash = decode(b.author_hash, 'hex')
