-- Replays: bounded reads of the past with a group of their own, in place or into a shadow.

CREATE SEQUENCE replay_generations AS integer;

CREATE TABLE replays (
    name text NOT NULL,
    kind text NOT NULL,
    state text NOT NULL DEFAULT 'running',
    generation integer,
    model_id integer NOT NULL,
    consumer_group text NOT NULL,
    topics text[] NOT NULL,
    range tstzrange NOT NULL,
    files boolean NOT NULL DEFAULT false,
    revision integer NOT NULL DEFAULT 0,
    progress double precision NOT NULL DEFAULT 0,
    promoted bigint NOT NULL DEFAULT 0,
    superseded bigint NOT NULL DEFAULT 0,
    restored bigint NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz,
    promoted_at timestamptz,
    CONSTRAINT replays_pkey PRIMARY KEY (name),
    CONSTRAINT replays_generation_key UNIQUE (generation),
    CONSTRAINT replays_consumer_group_key UNIQUE (consumer_group),
    CONSTRAINT replays_kind CHECK (kind IN ('in_place', 'shadow')),
    CONSTRAINT replays_state CHECK (state IN (
        'running', 'finished', 'promoting', 'promoted', 'rolling_back', 'rolled_back',
        'discarding', 'discarded'
    )),
    CONSTRAINT replays_in_place CHECK (kind = 'shadow' OR generation IS NOT NULL)
);
CREATE UNIQUE INDEX replays_one_promotion ON replays ((true))
WHERE state IN ('promoting', 'promoted', 'rolling_back');
COMMENT ON TABLE replays IS 'Backfills: what each reads again, with which model, and how far it is';
COMMENT ON COLUMN replays.kind IS 'in_place replaces labels as it reads; shadow keeps its own until it is promoted';
COMMENT ON COLUMN replays.generation IS 'Of the labels it writes: above the live stream''s 0 and all replays before; of a shadow from its promotion on';
COMMENT ON COLUMN replays.consumer_group IS 'Its own, in stream_offsets as in Kafka';
COMMENT ON COLUMN replays.range IS 'Timestamps of the records that it labels';
COMMENT ON COLUMN replays.files IS 'Whether it reads files: topic_id is of a file''s content, an offset is a line';
COMMENT ON COLUMN replays.revision IS 'Raised with each change of state or range; a batch that was read under an older one is not stored';
COMMENT ON COLUMN replays.progress IS 'From 0 to 1: the share of its offsets that it has gone past';
COMMENT ON COLUMN replays.promoted IS 'Labels that its promotion put in place';
COMMENT ON COLUMN replays.superseded IS 'Labels that its promotion passed over: another version of the post stands, or none';
COMMENT ON COLUMN replays.restored IS 'Labels that its rollback took back';

CREATE TABLE replay_logs (
    replay text NOT NULL,
    topic text NOT NULL,
    topic_id uuid NOT NULL,
    kafka_partition integer NOT NULL,
    start_offset bigint NOT NULL,
    end_offset bigint NOT NULL,
    CONSTRAINT replay_logs_pkey PRIMARY KEY (replay, topic, topic_id, kafka_partition)
);
COMMENT ON TABLE replay_logs IS 'What each replay reads of each partition; how far it is stands in stream_offsets';
COMMENT ON COLUMN replay_logs.end_offset IS 'Captured when it was started or extended; it reads up to here';

CREATE TABLE shadow_labels (
    replay text NOT NULL,
    platform text COLLATE "C" NOT NULL,
    post_id text COLLATE "C" NOT NULL,
    post_hash bytea NOT NULL,
    version timestamptz,
    created_at timestamptz,
    topic text NOT NULL,
    topic_id uuid NOT NULL,
    kafka_partition integer NOT NULL,
    kafka_offset bigint NOT NULL,
    lang text,
    author_hash text,
    hashtags text[],
    emotion text,
    unlabelled_reason text,
    confidence real,
    sadness integer,
    joy integer,
    love integer,
    anger integer,
    fear integer,
    surprise integer,
    text text,
    CONSTRAINT shadow_labels_pkey PRIMARY KEY (replay, platform, post_id)
);
COMMENT ON TABLE shadow_labels IS 'What shadow replays say of each post, beside the live labels; in no trend';
COMMENT ON COLUMN shadow_labels.version IS 'As in posts; null where the post was withdrawn';
COMMENT ON COLUMN shadow_labels.sadness IS 'Calibrated probability in millionths; null if unlabelled';
CREATE INDEX shadow_labels_author ON shadow_labels (author_hash) WHERE author_hash IS NOT NULL;

CREATE TABLE kept_labels (
    generation integer NOT NULL,
    platform text COLLATE "C" NOT NULL,
    post_id text COLLATE "C" NOT NULL,
    version timestamptz,
    kept_generation integer,
    created_at timestamptz,
    topic text,
    topic_id uuid,
    kafka_partition integer,
    kafka_offset bigint,
    lang text,
    author_hash text,
    hashtags text[],
    emotion text,
    unlabelled_reason text,
    confidence real,
    sadness integer,
    joy integer,
    love integer,
    anger integer,
    fear integer,
    surprise integer,
    model_id integer,
    labelled_at timestamptz,
    label_topic text,
    text text,
    CONSTRAINT kept_labels_pkey PRIMARY KEY (generation, platform, post_id)
);
COMMENT ON TABLE kept_labels IS 'The labels that the newest promotion replaced, for its rollback; in no trend';
COMMENT ON COLUMN kept_labels.generation IS 'Of the promotion';
COMMENT ON COLUMN kept_labels.version IS 'Null where nothing was kept: the promotion added the post';
COMMENT ON COLUMN kept_labels.label_topic IS 'Of the label, where it kept that of the one before it';
CREATE INDEX kept_labels_author ON kept_labels (author_hash) WHERE author_hash IS NOT NULL;

CREATE OR REPLACE FUNCTION emotion_complete_until() RETURNS timestamptz
LANGUAGE sql STABLE SECURITY DEFINER PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE WHEN count(*) = count(watermark) THEN min(watermark) END
    FROM stream_offsets
    WHERE retired_at IS NULL AND NOT starts_with(topic, '@')
        AND consumer_group NOT IN (SELECT r.consumer_group FROM replays r);
END;
