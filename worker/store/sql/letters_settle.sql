UPDATE dead_letters d
SET attempts = d.attempts + 1,
    state = k.state,
    reason = coalesce(k.reason, d.reason),
    detail = coalesce(k.detail, d.detail),
    fingerprint = coalesce(k.fingerprint, d.fingerprint),
    key = CASE WHEN k.state <> 'dropped' THEN d.key END,
    value = CASE WHEN k.state <> 'dropped' THEN d.value END,
    value_sha256 = CASE WHEN k.state <> 'dropped' THEN d.value_sha256 END
FROM unnest(
    %(ids)b::bigint[], %(states)b::text[], %(reasons)b::text[], %(details)b::text[],
    %(fingerprints)b::text[]
) AS k (id, state, reason, detail, fingerprint)
WHERE d.id = k.id
