-- What a label does not say is taken to be the least: no edit, generation 0. Its log is known where
-- positions of one log only stand under its topic's name. What was erased gets no identity.
INSERT INTO posts (
    platform, post_id, state, version, generation, created_at,
    topic, topic_id, kafka_partition, kafka_offset, author_hash
)
SELECT DISTINCT ON (e.platform, e.post_id)
    e.platform, e.post_id, 'live', e.created_at, 0, e.created_at, e.topic,
    coalesce(
        (
            SELECT (array_agg(DISTINCT s.topic_id))[1]
            FROM stream_offsets s
            WHERE s.topic = e.topic
                AND s.consumer_group NOT IN (SELECT consumer_group FROM replays WHERE files)
            HAVING count(DISTINCT s.topic_id) = 1
        ),
        '00000000-0000-0000-0000-000000000000'
    ),
    e.kafka_partition, e.kafka_offset, e.author_hash
FROM post_emotions e
JOIN unnest(
    %(platforms)b::text[], %(post_ids)b::text[], %(times)b::timestamptz[], %(hashes)b::bytea[]
) AS k (platform, post_id, created_at, hash)
    ON e.platform = k.platform AND e.post_id = k.post_id AND e.created_at = k.created_at
WHERE e.created_at BETWEEN %(oldest)b AND %(newest)b
    AND NOT EXISTS (
        SELECT FROM erasures x
        WHERE (x.kind = 'post' AND x.hash = k.hash)
            OR (x.kind = 'author' AND x.hash = decode(e.author_hash, 'hex'))
    )
ORDER BY e.platform, e.post_id, e.created_at DESC
ON CONFLICT (platform, post_id) DO NOTHING
RETURNING created_at
