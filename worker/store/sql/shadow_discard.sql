DELETE FROM shadow_labels s
USING (
    SELECT platform, post_id FROM shadow_labels WHERE replay = %(name)s LIMIT %(limit)s
) AS d
WHERE s.replay = %(name)s AND s.platform = d.platform AND s.post_id = d.post_id
