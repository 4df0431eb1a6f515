WITH chosen AS (
    SELECT id
    FROM dead_letters
    WHERE state = 'new'
        AND (%(ids)s::bigint[] IS NULL OR id = ANY (%(ids)s))
        AND (%(fingerprint)s::text IS NULL OR fingerprint = %(fingerprint)s)
        AND (%(reason)s::text IS NULL OR reason = %(reason)s)
        AND (%(topic)s::text IS NULL OR topic = %(topic)s)
    ORDER BY id
    FOR UPDATE
)
UPDATE dead_letters d SET state = 'dropped' FROM chosen WHERE d.id = chosen.id
