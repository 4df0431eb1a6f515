UPDATE replays
SET state = 'discarding', revision = revision + 1, updated_at = now()
WHERE state = 'promoted' AND name <> %(name)s AND EXISTS (
    SELECT FROM replays WHERE name = %(name)s AND state = ANY (%(before)s)
)
