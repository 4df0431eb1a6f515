WITH gone AS (
    DELETE FROM shadow_labels s
    USING batch_posts b
    WHERE s.replay = %(replay)b AND s.platform = b.platform AND s.post_id = b.post_id
)
UPDATE replays
SET promoted = promoted + %(promoted)b, superseded = superseded + %(superseded)b,
    updated_at = now()
WHERE name = %(replay)b
