SELECT platform, post_id
FROM posts
WHERE author_hash = ANY (%(authors)b::text[])
ORDER BY platform, post_id
LIMIT %(limit)b
