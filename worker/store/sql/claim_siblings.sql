INSERT INTO stream_offsets (consumer_group, topic, topic_id, kafka_partition)
SELECT %(group)s, %(topic)s, %(topic_id)s, n FROM generate_series(0, %(siblings)s - 1) AS n
ON CONFLICT DO NOTHING
