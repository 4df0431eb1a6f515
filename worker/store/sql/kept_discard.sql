DELETE FROM kept_labels
WHERE ctid = ANY (ARRAY(SELECT ctid FROM kept_labels WHERE generation = %(generation)s LIMIT %(limit)s))
