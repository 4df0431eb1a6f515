DELETE FROM kept_labels k
USING (
    SELECT platform, post_id FROM kept_labels WHERE generation = %(generation)s LIMIT %(limit)s
) AS d
WHERE k.generation = %(generation)s AND k.platform = d.platform AND k.post_id = d.post_id
