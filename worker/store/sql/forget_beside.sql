-- What replays keep beside the live labels.
WITH named AS (
    SELECT * FROM unnest(%(platforms)b::text[], %(post_ids)b::text[]) AS k (platform, post_id)
), kept AS (
    DELETE FROM kept_labels k
    USING named n, replays r
    WHERE k.generation = r.generation AND k.platform = n.platform AND k.post_id = n.post_id
), shadowed AS (
    DELETE FROM shadow_labels s
    USING named n, replays r
    WHERE s.replay = r.name AND s.platform = n.platform AND s.post_id = n.post_id
)
SELECT
