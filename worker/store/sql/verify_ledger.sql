-- consumed is the sum of the outcomes; so many posts were first seen as identities stand or stood.
SELECT consumer_group, topic, topic_id, kafka_partition, consumed,
    labelled + unlabelled + replaced + duplicates + stale + withdrawn + erased + expired
        + dead_lettered AS outcomes
FROM stream_offsets
WHERE consumed <> labelled + unlabelled + replaced + duplicates + stale + withdrawn + erased
    + expired + dead_lettered
ORDER BY 1, 2, 3, 4
LIMIT %(limit)s
