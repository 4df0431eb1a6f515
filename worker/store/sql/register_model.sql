WITH added AS (
    INSERT INTO models (name, version, sha256, base, labels, metrics)
    VALUES (%(name)s, %(version)s, %(sha256)s, %(base)s, %(labels)s, %(metrics)s)
    ON CONFLICT (sha256) DO NOTHING
    RETURNING id
)
SELECT id FROM added UNION ALL SELECT id FROM models WHERE sha256 = %(sha256)s LIMIT 1
