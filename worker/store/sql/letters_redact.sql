UPDATE dead_letters
SET key = NULL, value = NULL, value_sha256 = NULL, state = 'dropped'
WHERE id = ANY (%(ids)s)
