WITH kept AS (
    DELETE FROM kept_labels WHERE author_hash = ANY (%(authors)b::text[])
)
DELETE FROM shadow_labels WHERE author_hash = ANY (%(authors)b::text[])
