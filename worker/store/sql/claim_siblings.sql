-- A group that comes back for one partition of a log has all of them to read, retired ones too.
WITH back AS (
    UPDATE stream_offsets
    SET retired_at = NULL
    WHERE consumer_group = %(group)s AND topic = %(topic)s AND topic_id = %(topic_id)s
        AND retired_at IS NOT NULL
)
INSERT INTO stream_offsets (consumer_group, topic, topic_id, kafka_partition)
SELECT %(group)s, %(topic)s, %(topic_id)s, n FROM generate_series(0, %(siblings)s - 1) AS n
ON CONFLICT DO NOTHING
