SELECT platform, post_id
FROM kept_labels
WHERE generation = %(generation)b AND (platform, post_id) > (%(platform)b, %(post_id)b)
ORDER BY platform, post_id
LIMIT %(limit)b
