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
