UPDATE replays
SET range = %(range)s, state = 'running', finished_at = NULL, updated_at = now(),
    revision = revision + 1
WHERE name = %(name)s AND state IN ('running', 'finished')
