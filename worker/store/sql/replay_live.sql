SELECT topic, topic_id, kafka_partition, min(next_offset)
FROM stream_offsets
WHERE topic = ANY (%(topics)s) AND retired_at IS NULL AND next_offset IS NOT NULL
    AND consumer_group NOT IN (SELECT consumer_group FROM replays)
    AND updated_at > now() - make_interval(secs => %(within_s)s)
GROUP BY 1, 2, 3
