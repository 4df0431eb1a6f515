UPDATE replays
SET range = %(range)s, state = 'running', finished_at = NULL, updated_at = now()
WHERE name = %(name)s
