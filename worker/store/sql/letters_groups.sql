SELECT
    fingerprint, min(reason), (array_agg(detail ORDER BY id DESC))[1], count(*),
    array_agg(DISTINCT topic ORDER BY topic), min(created_at), max(created_at), max(attempts),
    count(*) FILTER (WHERE value IS NULL AND value_length IS NOT NULL), max(id)
FROM dead_letters
WHERE (%(state)s::text IS NULL OR state = %(state)s)
    AND (%(ids)s::bigint[] IS NULL OR id = ANY (%(ids)s))
    AND (%(fingerprint)s::text IS NULL OR fingerprint = %(fingerprint)s)
    AND (%(reason)s::text IS NULL OR reason = %(reason)s)
    AND (%(topic)s::text IS NULL OR topic = %(topic)s)
GROUP BY fingerprint
ORDER BY count(*) DESC, max(id) DESC
