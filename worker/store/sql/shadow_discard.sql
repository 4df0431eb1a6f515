DELETE FROM shadow_labels
WHERE ctid = ANY (ARRAY(SELECT ctid FROM shadow_labels WHERE replay = %(name)s LIMIT %(limit)s))
