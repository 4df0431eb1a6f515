-- The raised epoch keeps out a worker that froze before: only a new claim brings the row back.
UPDATE stream_offsets s
SET retired_at = now(), owner_epoch = s.owner_epoch + 1
FROM unnest(%(topics)s::text[], %(topic_ids)s::uuid[], %(partitions)s::integer[])
    AS k (topic, topic_id, kafka_partition)
WHERE s.consumer_group = %(group)s AND s.topic = k.topic AND s.topic_id = k.topic_id
    AND s.kafka_partition = k.kafka_partition
