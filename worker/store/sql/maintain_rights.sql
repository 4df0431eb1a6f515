-- The server's clock holds back a worker whose own is ahead: a floor that was raised never sinks.
SELECT
    date_trunc('day', least(%(now)s::timestamptz, now()), 'UTC'),
    (SELECT pg_has_role(relowner, 'USAGE') FROM pg_class WHERE oid = 'post_emotions'::regclass)
