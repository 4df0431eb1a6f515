SELECT
    label_floor, minute_floor, author_key_fingerprint, EXISTS (SELECT FROM erasures),
    (
        SELECT max(generation) FROM replays
        WHERE state IN ('promoting', 'promoted', 'rolling_back')
    ),
    (SELECT string_agg(version_num, ' and ' ORDER BY version_num) FROM alembic_version)
FROM policy
