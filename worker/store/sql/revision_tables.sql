SELECT
    to_regclass('alembic_version') IS NOT NULL,
    to_regclass('schema_revisions') IS NOT NULL
