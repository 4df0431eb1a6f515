UPDATE stream_offsets s
SET tripped_at = now()
FROM unnest(
    %(topics)s::text[], %(topic_ids)s::uuid[], %(partitions)s::integer[], %(epochs)s::bigint[]
) AS k (topic, topic_id, kafka_partition, epoch)
WHERE s.consumer_group = %(group)s AND s.topic = k.topic AND s.topic_id = k.topic_id
    AND s.kafka_partition = k.kafka_partition AND s.owner_epoch = k.epoch
