UPDATE stream_offsets s
SET next_offset = k.start_offset, owner_epoch = s.owner_epoch + 1, updated_at = now()
FROM unnest(
    %(log_topics)s::text[], %(topic_ids)s::uuid[], %(partitions)s::integer[], %(starts)s::bigint[]
) AS k (topic, topic_id, kafka_partition, start_offset)
WHERE s.consumer_group = %(group)s AND s.topic = k.topic AND s.topic_id = k.topic_id
    AND s.kafka_partition = k.kafka_partition AND s.next_offset > k.start_offset
