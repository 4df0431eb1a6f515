-- Logins for docker-compose.yml, after deploy/sql/roles.sql; for psql, as a superuser. It may be run
-- at any time: passwords become those in the secrets.
--
--   emotion_keeper   migrate, maintain; what it makes belongs to emotion_owner
--   emotion_worker   the workers
--   emotion_grafana  dashboards

\set keeper_password `cat /run/secrets/keeper_password`
\set worker_password `cat /run/secrets/worker_password`
\set reader_password `cat /run/secrets/reader_password`

SELECT format('CREATE ROLE %I LOGIN IN ROLE %I', login, role)
FROM (VALUES
    ('emotion_keeper', 'emotion_owner'),
    ('emotion_worker', 'emotion_writer'),
    ('emotion_grafana', 'emotion_reader')
) AS wanted (login, role)
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = login)
\gexec

ALTER ROLE emotion_keeper PASSWORD :'keeper_password';
ALTER ROLE emotion_worker PASSWORD :'worker_password';
ALTER ROLE emotion_grafana PASSWORD :'reader_password';
ALTER ROLE emotion_keeper SET role TO emotion_owner;
