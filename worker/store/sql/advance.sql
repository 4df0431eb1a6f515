UPDATE stream_offsets s
SET next_offset = k.next_offset,
    -- Never ahead of the clock: one record from the year 9999 would complete all there is to come.
    -- None at all where the span says nothing of time: LEAST alone would make that the clock's.
    watermark = greatest(
        s.watermark, CASE WHEN k.watermark IS NOT NULL THEN least(k.watermark, now()) END
    ),
    updated_at = now(),
    consumed = s.consumed + k.labelled + k.unlabelled + k.replaced + k.duplicates + k.stale
        + k.withdrawn + k.erased + k.expired + k.dead_lettered,
    labelled = s.labelled + k.labelled,
    unlabelled = s.unlabelled + k.unlabelled,
    replaced = s.replaced + k.replaced,
    duplicates = s.duplicates + k.duplicates,
    stale = s.stale + k.stale,
    withdrawn = s.withdrawn + k.withdrawn,
    erased = s.erased + k.erased,
    expired = s.expired + k.expired,
    dead_lettered = s.dead_lettered + k.dead_lettered
FROM unnest(
    %(topics)b::text[], %(topic_ids)b::uuid[], %(partitions)b::integer[],
    %(ends)b::bigint[], %(watermarks)b::timestamptz[],
    %(labelled)b::bigint[], %(unlabelled)b::bigint[], %(replaced)b::bigint[],
    %(duplicates)b::bigint[], %(stale)b::bigint[], %(withdrawn)b::bigint[],
    %(erased)b::bigint[], %(expired)b::bigint[], %(dead_lettered)b::bigint[]
) AS k (
    topic, topic_id, kafka_partition, next_offset, watermark, labelled, unlabelled, replaced,
    duplicates, stale, withdrawn, erased, expired, dead_lettered
)
WHERE s.consumer_group = %(group)b AND s.topic = k.topic AND s.topic_id = k.topic_id
    AND s.kafka_partition = k.kafka_partition
