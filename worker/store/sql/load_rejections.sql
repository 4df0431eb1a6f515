COPY batch_rejections (
    topic, topic_id, kafka_partition, kafka_offset, kafka_timestamp, key, value, value_length,
    value_sha256, reason, detail, fingerprint,
    post_hashes, author_hashes, opaque
) FROM STDIN (FORMAT BINARY)
