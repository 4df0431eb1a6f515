DELETE FROM post_emotions_default
WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM post_emotions_default WHERE created_at < %(floor)b LIMIT %(limit)b
))
RETURNING platform, post_id
