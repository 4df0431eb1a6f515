-- What a session holds is for all to see, who it is only for some. One that holds a slot and no
-- revision is a worker of before these locks.
SELECT count(*)
FROM (
    SELECT max(objid::bigint) AS held
    FROM pg_locks
    WHERE locktype = 'advisory' AND granted AND objsubid = 2
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
        AND classid = %(space)s AND objid::bigint > %(slots)s
    GROUP BY pid
) AS writers
WHERE held < %(revisions)s + %(revision)s
