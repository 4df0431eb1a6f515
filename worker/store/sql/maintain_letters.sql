DELETE FROM dead_letters
WHERE id = ANY (ARRAY(
    SELECT id FROM dead_letters WHERE created_at < %(before)s ORDER BY id LIMIT %(limit)s
))
