UPDATE replays
SET progress = %(progress)s, updated_at = now(),
    state = CASE WHEN %(done)s AND state = 'running' THEN 'finished' ELSE state END,
    finished_at = CASE WHEN %(done)s AND state = 'running' THEN now() ELSE finished_at END
WHERE name = %(name)s AND state IN ('running', 'finished')
    AND (progress, state = 'running') IS DISTINCT FROM (%(progress)s, NOT %(done)s)
