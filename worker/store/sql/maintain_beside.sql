WITH kept AS (
    DELETE FROM kept_labels WHERE created_at < %(floor)s
)
DELETE FROM shadow_labels WHERE created_at < %(floor)s
