-- What each migration from this one on asks of workers, for those that were released before it.

CREATE TABLE schema_revisions (
    revision text NOT NULL,
    oldest text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now(),
    applied_by text NOT NULL,
    CONSTRAINT schema_revisions_pkey PRIMARY KEY (revision)
);
COMMENT ON TABLE schema_revisions IS 'The migrations that were applied here, and which workers go on with the schema of each';
COMMENT ON COLUMN schema_revisions.oldest IS 'The oldest revision that a worker must know: one that does not refuses the schema';
COMMENT ON COLUMN schema_revisions.applied_by IS 'Version of the worker whose migrate it was';

-- A post whose text is not stored has an empty one, so that texts stay in step with post_ids.
DO $$
DECLARE
    before text := pg_get_functiondef('emotion_spikes(timestamptz, integer)'::regprocedure);
    -- The one expression; the rest of the function is as 0003 made it.
    after text := replace(
        before,
        'array_agg(b.text ORDER BY b.place) FILTER (WHERE b.text IS NOT NULL) AS texts',
        'CASE WHEN count(b.text) > 0 THEN array_agg(coalesce(b.text, '''') ORDER BY b.place) END AS texts'
    );
BEGIN
    IF after = before THEN
        RAISE EXCEPTION 'emotion_spikes is not as migration 0003 made it';
    END IF;
    EXECUTE after;
END;
$$;
