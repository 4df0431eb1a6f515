SELECT platform, post_id, created_at FROM post_emotions WHERE author_hash = ANY (%(authors)b::text[])
