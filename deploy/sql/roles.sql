-- Who may do what in the database. docs/how-to/secure.md tells how to use it.
--
--   emotion_owner   owns tables, views and functions: migrate, maintain, forget, verify --repair
--   emotion_writer  stores and reads posts: run, replay, dead-letters, offsets, verify
--   emotion_reader  reads trends and labels without texts and authors: trends, dashboards
--
-- None of them can log in: make logins that are members of one. Run it in the worker's database, as a
-- superuser or as a role with CREATEROLE that owns what is there, before the first `migrate` and again
-- after each: it may be run at any time, beside workers. What it finds in the current schema, it takes
-- for ours (`SET search_path` first, if it is not `public`).

BEGIN;

DO $roles$
DECLARE
    wanted text;
BEGIN
    FOREACH wanted IN ARRAY ARRAY['emotion_owner', 'emotion_writer', 'emotion_reader'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted) THEN
            EXECUTE format('CREATE ROLE %I NOLOGIN', wanted);
        END IF;
    END LOOP;
    IF NOT pg_has_role('emotion_owner', 'USAGE') THEN
        EXECUTE format('GRANT emotion_owner TO %I', current_user);
    END IF;
END
$roles$;

DO $database$
DECLARE
    ours text := quote_ident(current_schema());
    db text := quote_ident(current_database());
BEGIN
    EXECUTE 'REVOKE CREATE ON SCHEMA ' || ours || ' FROM PUBLIC';
    EXECUTE 'GRANT USAGE, CREATE ON SCHEMA ' || ours || ' TO emotion_owner';
    EXECUTE 'GRANT USAGE ON SCHEMA ' || ours || ' TO emotion_writer, emotion_reader';
    EXECUTE 'GRANT CONNECT ON DATABASE ' || db || ' TO emotion_owner, emotion_writer, emotion_reader';
    -- Batches are loaded into temporary tables.
    EXECUTE 'GRANT TEMPORARY ON DATABASE ' || db || ' TO emotion_owner, emotion_writer';
    -- Tables that a later migration adds: workers go on while this file has not been run again.
    EXECUTE 'ALTER DEFAULT PRIVILEGES FOR ROLE emotion_owner IN SCHEMA ' || ours
        || ' GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO emotion_writer';
    EXECUTE 'ALTER DEFAULT PRIVILEGES FOR ROLE emotion_owner IN SCHEMA ' || ours
        || ' GRANT USAGE ON SEQUENCES TO emotion_writer';
END
$database$;

-- What another role made before, as a superuser's first `migrate`.
DO $owner$
DECLARE
    statement text;
BEGIN
    FOR statement IN
        SELECT format(
            'ALTER %s %s OWNER TO emotion_owner',
            CASE c.relkind WHEN 'v' THEN 'VIEW' WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END,
            c.oid::regclass
        )
        FROM pg_class c
        WHERE c.relnamespace = current_schema()::regnamespace
            AND c.relkind IN ('r', 'p', 'v', 'S')
            AND c.relowner <> 'emotion_owner'::regrole
            -- A column's own sequence goes with its table; an extension's things are not ours.
            AND NOT EXISTS (
                SELECT FROM pg_depend d
                WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
                    AND (d.deptype = 'e' OR c.relkind = 'S' AND d.deptype IN ('a', 'i'))
            )
        UNION ALL
        SELECT format('ALTER ROUTINE %s OWNER TO emotion_owner', p.oid::regprocedure)
        FROM pg_proc p
        WHERE p.pronamespace = current_schema()::regnamespace
            AND p.proowner <> 'emotion_owner'::regrole
            AND NOT EXISTS (
                SELECT FROM pg_depend d
                WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
            )
    LOOP
        EXECUTE statement;
    END LOOP;
END
$owner$;

-- Days' partitions are read and written through their table, whose rights are the ones that count.
DO $rights$
DECLARE
    one record;
BEGIN
    FOR one IN
        SELECT c.oid::regclass AS name, c.relname, w.writer, w.reader, c.relkind = 'v' AS is_view
        FROM pg_class c
        LEFT JOIN (VALUES
            ('alembic_version', 'SELECT', 'SELECT'),
            ('schema_revisions', 'SELECT', 'SELECT'),
            -- The key of the erasures' hashes is here.
            ('policy', 'SELECT', NULL),
            ('erasures', 'SELECT, INSERT', NULL),
            ('models', 'SELECT, INSERT, UPDATE', 'SELECT'),
            ('stream_offsets', 'SELECT, INSERT, UPDATE', 'SELECT'),
            ('posts', 'SELECT, INSERT, UPDATE, DELETE', NULL),
            ('post_emotions', 'SELECT, INSERT, UPDATE, DELETE',
                'SELECT (platform, post_id, created_at, topic, kafka_partition, kafka_offset, lang,
                    hashtags, emotion, unlabelled_reason, confidence, sadness, joy, love, anger, fear,
                    surprise, model_id, labelled_at)'),
            ('trend_cells', 'SELECT, INSERT, UPDATE', 'SELECT'),
            ('dead_letters', 'SELECT, INSERT, UPDATE',
                'SELECT (id, topic, topic_id, kafka_partition, kafka_offset, kafka_timestamp,
                    value_length, reason, detail, fingerprint, attempts, state, created_at)'),
            ('replays', 'SELECT, INSERT, UPDATE, DELETE', 'SELECT')
        ) AS w (name, writer, reader) ON w.name = c.relname
        WHERE c.relnamespace = current_schema()::regnamespace
            AND c.relkind IN ('r', 'p', 'v') AND NOT c.relispartition
            AND c.relowner = 'emotion_owner'::regrole
    LOOP
        EXECUTE format('REVOKE ALL ON %s FROM PUBLIC, emotion_writer, emotion_reader', one.name);
        IF one.is_view THEN
            EXECUTE format('GRANT SELECT ON %s TO emotion_writer, emotion_reader', one.name);
        ELSE
            EXECUTE format(
                'GRANT %s ON %s TO emotion_writer',
                coalesce(one.writer, 'SELECT, INSERT, UPDATE, DELETE'), one.name
            );
            IF one.reader IS NOT NULL THEN
                EXECUTE format('GRANT %s ON %s TO emotion_reader', one.reader, one.name);
            END IF;
        END IF;
    END LOOP;
    FOR one IN
        SELECT c.oid::regclass AS name FROM pg_class c
        WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'S'
            AND c.relowner = 'emotion_owner'::regrole
    LOOP
        EXECUTE format('GRANT USAGE ON SEQUENCE %s TO emotion_writer', one.name);
    END LOOP;
END
$rights$;

COMMIT;
