-- Day partitions, and tables that were one until a maintenance that did not finish.
SELECT c.relname, c.relispartition
FROM pg_class c
WHERE c.relkind = 'r' AND c.relnamespace = (
        SELECT relnamespace FROM pg_class WHERE oid = 'post_emotions'::regclass
    )
    AND c.relname ~ '^post_emotions_[0-9]{8}$'
ORDER BY c.relname
