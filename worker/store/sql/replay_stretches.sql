SELECT
    l.topic, l.topic_id, l.kafka_partition, l.start_offset, l.end_offset,
    coalesce(s.next_offset, l.start_offset), coalesce(s.consumed, 0), s.owner_id,
    extract(epoch FROM clock_timestamp() - s.updated_at)::float8
FROM replay_logs l
JOIN replays r ON r.name = l.replay
LEFT JOIN stream_offsets s
    ON s.consumer_group = r.consumer_group AND s.topic = l.topic AND s.topic_id = l.topic_id
    AND s.kafka_partition = l.kafka_partition
WHERE l.replay = %(name)s
ORDER BY l.topic, l.topic_id, l.kafka_partition
