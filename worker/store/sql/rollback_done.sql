WITH gone AS (
    DELETE FROM kept_labels k
    USING batch_posts b
    WHERE b.ordinal = ANY (%(ordinals)b) AND k.generation = %(generation)b
        AND k.platform = b.platform AND k.post_id = b.post_id
)
UPDATE replays SET restored = restored + %(restored)b, updated_at = now()
WHERE generation = %(generation)b
