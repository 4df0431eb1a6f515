-- A record that does not stand may be the one that names the author.
UPDATE posts p
SET author_hash = b.author_hash
FROM (
    SELECT platform, post_id, min(author_hash) AS author_hash
    FROM batch_posts
    WHERE ordinal = ANY (%(ordinals)b) AND author_hash IS NOT NULL
    GROUP BY platform, post_id
) AS b
WHERE p.platform = b.platform AND p.post_id = b.post_id AND p.author_hash IS NULL
