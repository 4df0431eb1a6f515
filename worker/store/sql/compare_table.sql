CREATE TEMP TABLE compared (
    status text NOT NULL,
    platform text COLLATE "C" NOT NULL,
    post_id text COLLATE "C" NOT NULL,
    created_at timestamptz,
    topic text,
    lang text,
    hashtags text[],
    before_model integer,
    before_emotion text,
    before_confidence real,
    before_top smallint,
    after_emotion text,
    after_confidence real,
    after_top smallint
) ON COMMIT DROP
