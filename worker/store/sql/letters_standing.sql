SELECT d.topic, d.topic_id, d.kafka_partition, d.kafka_offset
FROM dead_letters d
JOIN batch_rejections b USING (topic, topic_id, kafka_partition, kafka_offset)
JOIN unnest(%(topics)b::text[], %(topic_ids)b::uuid[], %(partitions)b::integer[])
    AS k (topic, topic_id, kafka_partition) USING (topic, topic_id, kafka_partition)
WHERE d.state = 'new'
