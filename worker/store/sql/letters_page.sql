SELECT
    id, topic, topic_id, kafka_partition, kafka_offset, kafka_timestamp, key, value, value_length,
    value_sha256, reason, detail, fingerprint, attempts, state, created_at
FROM dead_letters
WHERE id > %(after)s
    AND (%(state)s::text IS NULL OR state = %(state)s)
    AND (%(ids)s::bigint[] IS NULL OR id = ANY (%(ids)s))
    AND (%(fingerprint)s::text IS NULL OR fingerprint = %(fingerprint)s)
    AND (%(reason)s::text IS NULL OR reason = %(reason)s)
    AND (%(topic)s::text IS NULL OR topic = %(topic)s)
ORDER BY id
LIMIT %(limit)s
