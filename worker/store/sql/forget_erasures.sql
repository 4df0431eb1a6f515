INSERT INTO erasures (kind, hash)
SELECT kind, hash FROM unnest(%(kinds)b::text[], %(hashes)b::bytea[]) AS k (kind, hash)
ORDER BY kind, hash
ON CONFLICT DO NOTHING
