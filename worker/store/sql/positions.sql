SELECT
    topic, topic_id, kafka_partition, next_offset, owner_epoch, owner_id, watermark, updated_at,
    retired_at, consumed, labelled, unlabelled, replaced, duplicates, stale, withdrawn, erased,
    expired, dead_lettered
FROM stream_offsets
WHERE consumer_group = %(group)s AND (%(topics)s::text[] IS NULL OR topic = ANY (%(topics)s))
ORDER BY topic, retired_at IS NOT NULL, topic_id, kafka_partition
