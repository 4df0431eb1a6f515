-- Who may stand in a migration's way, the longest first. Other roles' sessions are a number only.
SELECT a.pid, a.application_name, a.state, extract(epoch FROM now() - a.xact_start)::integer
FROM pg_stat_activity a
WHERE a.datname = current_database() AND a.pid <> pg_backend_pid()
    AND EXISTS (
        SELECT FROM pg_locks l JOIN pg_class c ON c.oid = l.relation
        WHERE l.pid = a.pid AND l.granted AND c.relkind IN ('r', 'p')
            AND c.relnamespace = current_schema()::regnamespace
    )
ORDER BY a.xact_start
LIMIT 1
