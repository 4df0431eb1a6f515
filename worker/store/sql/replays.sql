SELECT
    r.name, r.kind, r.state, r.consumer_group, r.topics, r.range, r.model_id, r.files, r.generation,
    r.progress, r.promoted, r.superseded, r.restored, r.created_at, r.updated_at, r.finished_at,
    coalesce(m.name || ' ' || m.version, '?'), r.revision
FROM replays r
LEFT JOIN models m ON m.id = r.model_id
WHERE %(name)s::text IS NULL OR r.name = %(name)s
ORDER BY r.created_at DESC, r.name
