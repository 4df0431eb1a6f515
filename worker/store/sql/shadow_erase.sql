DELETE FROM shadow_labels s
USING batch_posts b
WHERE b.ordinal = ANY (%(ordinals)b) AND s.replay = %(replay)b AND s.platform = b.platform AND s.post_id = b.post_id
