UPDATE replays
SET state = %(after)s, updated_at = now(), revision = revision + 1,
    generation = CASE
        WHEN %(after)s = 'promoting' THEN coalesce(generation, nextval('replay_generations'))
        ELSE generation
    END,
    promoted_at = CASE WHEN %(after)s = 'promoted' THEN now() ELSE promoted_at END
WHERE name = %(name)s AND state = ANY (%(before)s)
