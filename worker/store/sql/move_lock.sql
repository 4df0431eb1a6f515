SELECT kafka_partition, next_offset, owner_id
FROM stream_offsets
WHERE consumer_group = %(group)s AND topic = %(topic)s AND topic_id = %(topic_id)s
    AND kafka_partition = ANY (%(partitions)s)
ORDER BY kafka_partition
FOR UPDATE
