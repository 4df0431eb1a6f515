SELECT
    topic, topic_id, kafka_partition, next_offset, owner_id,
    extract(epoch FROM now() - updated_at)::float8
FROM stream_offsets
WHERE consumer_group = %(group)s AND NOT starts_with(topic, '@') AND retired_at IS NULL
    AND (%(topic)s::text IS NULL OR topic = %(topic)s)
    AND (%(partitions)s::integer[] IS NULL OR kafka_partition = ANY (%(partitions)s))
ORDER BY topic, topic_id, kafka_partition
FOR UPDATE
