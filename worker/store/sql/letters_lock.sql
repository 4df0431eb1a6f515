SELECT id FROM dead_letters WHERE id = ANY (%(ids)b) AND state = 'new' ORDER BY id FOR UPDATE
