SELECT s.topic, s.topic_id, s.kafka_partition, s.owner_epoch, s.next_offset
FROM stream_offsets s
JOIN unnest(%(topics)b::text[], %(topic_ids)b::uuid[], %(partitions)b::integer[])
    AS k (topic, topic_id, kafka_partition) USING (topic, topic_id, kafka_partition)
WHERE s.consumer_group = %(group)b
ORDER BY s.topic, s.topic_id, s.kafka_partition
FOR UPDATE OF s
