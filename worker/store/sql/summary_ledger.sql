SELECT
    coalesce(sum(labelled), 0)::bigint, coalesce(sum(unlabelled), 0)::bigint,
    coalesce(sum(replaced), 0)::bigint, coalesce(sum(duplicates), 0)::bigint,
    coalesce(sum(stale), 0)::bigint, coalesce(sum(withdrawn), 0)::bigint,
    coalesce(sum(erased), 0)::bigint, coalesce(sum(expired), 0)::bigint,
    coalesce(sum(dead_lettered), 0)::bigint
FROM stream_offsets
WHERE consumer_group = %(group)s
