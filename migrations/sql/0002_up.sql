-- The circuit breaker's mark, so that a restart goes on where the last run stopped; upkeep; authors.

ALTER TABLE stream_offsets ADD COLUMN tripped_at timestamptz;
COMMENT ON COLUMN stream_offsets.tripped_at IS 'When a worker last stopped because nearly everything was rejected; null once a batch was stored again';

-- What is to be folded is found without reading what was.
CREATE INDEX trend_cells_unfolded ON trend_cells (bucket) WHERE slot <> 0;

-- An author's posts are found by any record that named the author, not only by the one that stands.
ALTER TABLE posts ADD COLUMN author_hash text;
COMMENT ON COLUMN posts.author_hash IS 'Keyed hash of the author, of any record that named one; null without WORKER_AUTHOR_KEY';
UPDATE posts p
SET author_hash = e.author_hash
FROM post_emotions e
WHERE e.platform = p.platform AND e.post_id = p.post_id AND e.author_hash IS NOT NULL;
CREATE INDEX posts_author ON posts (author_hash) WHERE author_hash IS NOT NULL;

COMMENT ON COLUMN dead_letters.value IS 'The raw bytes; null for a null value, for one over 1 MiB, and for one of a forgotten post or author: these cannot be retried';
COMMENT ON COLUMN dead_letters.attempts IS 'How often it was retried';
COMMENT ON COLUMN dead_letters.state IS 'new; retried, once it became a post; dropped, by hand or with a forgotten post or author';
