ALTER TABLE posts DROP COLUMN author_hash;
DROP INDEX trend_cells_unfolded;
ALTER TABLE stream_offsets DROP COLUMN tripped_at;
COMMENT ON COLUMN dead_letters.value IS 'The raw bytes; null for a null value and for one over 1 MiB, which cannot be retried';
COMMENT ON COLUMN dead_letters.attempts IS NULL;
COMMENT ON COLUMN dead_letters.state IS NULL;
