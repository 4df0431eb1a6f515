UPDATE stream_offsets
SET next_offset = %(offset)s, updated_at = now()
WHERE consumer_group = %(group)s AND topic = %(topic)s AND topic_id = %(topic_id)s
    AND kafka_partition = %(partition)s AND owner_epoch = %(epoch)s
    AND next_offset IS NOT DISTINCT FROM %(expected)s
