-- More than one row is no schema of ours: together they are a revision that nobody knows.
SELECT string_agg(version_num, ' and ' ORDER BY version_num) FROM alembic_version
