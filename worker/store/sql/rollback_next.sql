SELECT platform, post_id
FROM kept_labels
WHERE generation = %(generation)b
ORDER BY platform, post_id
LIMIT %(limit)b
