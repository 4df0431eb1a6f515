SELECT
    (SELECT count(*) FROM shadow_labels WHERE replay = %(replay)s),
    (SELECT count(*) FROM kept_labels WHERE generation = %(generation)s::integer)
