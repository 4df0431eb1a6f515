-- The tables of the main job: positions, identities, labels, cells, dead letters, models.

CREATE TABLE policy (
    singleton boolean NOT NULL DEFAULT true,
    label_floor timestamptz,
    minute_floor timestamptz,
    erasure_key bytea NOT NULL,
    author_key_fingerprint bytea,
    CONSTRAINT policy_pkey PRIMARY KEY (singleton),
    CONSTRAINT policy_is_one_row CHECK (singleton)
);
COMMENT ON TABLE policy IS 'One row: what every writer reads under the policy lock before it writes';
COMMENT ON COLUMN policy.label_floor IS 'Records created before this are expired and change nothing';
COMMENT ON COLUMN policy.minute_floor IS 'No minute cell is written below this';
COMMENT ON COLUMN policy.erasure_key IS 'Random key of the post hashes in erasures';
COMMENT ON COLUMN policy.author_key_fingerprint IS 'Fingerprint of the WORKER_AUTHOR_KEY of the author hashes in erasures';
-- Two random UUIDs: 244 random bits without an extension.
INSERT INTO policy (erasure_key) VALUES (
    decode(replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', ''), 'hex')
);

CREATE TABLE erasures (
    kind text NOT NULL,
    hash bytea NOT NULL,
    erased_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT erasures_pkey PRIMARY KEY (kind, hash),
    CONSTRAINT erasures_kind CHECK (kind IN ('post', 'author'))
);
COMMENT ON TABLE erasures IS 'Keyed hashes of the posts and authors that must never come back';

CREATE TABLE models (
    id integer GENERATED ALWAYS AS IDENTITY,
    name text NOT NULL,
    version text NOT NULL,
    sha256 text NOT NULL,
    base text NOT NULL,
    labels text[] NOT NULL,
    metrics jsonb NOT NULL,
    registered_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT models_pkey PRIMARY KEY (id),
    CONSTRAINT models_sha256_key UNIQUE (sha256)
);
COMMENT ON TABLE models IS 'The model bundles that have labelled posts here';

CREATE TABLE stream_offsets (
    consumer_group text NOT NULL,
    topic text NOT NULL,
    topic_id uuid NOT NULL,
    kafka_partition integer NOT NULL,
    next_offset bigint,
    owner_epoch bigint NOT NULL DEFAULT 0,
    owner_id text,
    watermark timestamptz,
    updated_at timestamptz NOT NULL DEFAULT now(),
    retired_at timestamptz,
    consumed bigint NOT NULL DEFAULT 0,
    labelled bigint NOT NULL DEFAULT 0,
    unlabelled bigint NOT NULL DEFAULT 0,
    replaced bigint NOT NULL DEFAULT 0,
    duplicates bigint NOT NULL DEFAULT 0,
    stale bigint NOT NULL DEFAULT 0,
    withdrawn bigint NOT NULL DEFAULT 0,
    erased bigint NOT NULL DEFAULT 0,
    expired bigint NOT NULL DEFAULT 0,
    dead_lettered bigint NOT NULL DEFAULT 0,
    CONSTRAINT stream_offsets_pkey PRIMARY KEY (consumer_group, topic, topic_id, kafka_partition),
    CONSTRAINT stream_offsets_ledger CHECK (
        consumed = labelled + unlabelled + replaced + duplicates + stale
                 + withdrawn + erased + expired + dead_lettered
    )
) WITH (fillfactor = 50);
COMMENT ON TABLE stream_offsets IS 'Where each consumer group stands, and the ledger of what became of each record';
COMMENT ON COLUMN stream_offsets.topic_id IS 'KIP-516 id; a recreated topic is another log. Zeros where the broker knows none';
COMMENT ON COLUMN stream_offsets.next_offset IS 'The next record to read; null until the partition is claimed and its start resolved';
COMMENT ON COLUMN stream_offsets.owner_epoch IS 'Raised by each claim; a writer with an older one is fenced';
COMMENT ON COLUMN stream_offsets.watermark IS 'Event time up to which nothing that was in the log is unread';
COMMENT ON COLUMN stream_offsets.retired_at IS 'Set where the log is gone or given up; it no longer holds completeness back';

CREATE TABLE posts (
    platform text COLLATE "C" NOT NULL,
    post_id text COLLATE "C" NOT NULL,
    state text NOT NULL,
    version timestamptz,
    generation integer NOT NULL DEFAULT 0,
    created_at timestamptz,
    topic text NOT NULL,
    topic_id uuid NOT NULL,
    kafka_partition integer NOT NULL,
    kafka_offset bigint NOT NULL,
    CONSTRAINT posts_pkey PRIMARY KEY (platform, post_id),
    CONSTRAINT posts_state CHECK (state IN ('live', 'withdrawn', 'erased')),
    CONSTRAINT posts_live CHECK ((state = 'live') = (version IS NOT NULL AND created_at IS NOT NULL))
);
COMMENT ON TABLE posts IS 'The identity and the lock of a post: which record of it stands';
COMMENT ON COLUMN posts.version IS 'edited_at of the version that stands, else its created_at; null unless live';
COMMENT ON COLUMN posts.generation IS '0 for live labels; each in-place replay takes the next number';
COMMENT ON COLUMN posts.created_at IS 'The day partition of post_emotions where its label lies; null unless live';

CREATE TABLE post_emotions (
    platform text COLLATE "C" NOT NULL,
    post_id text COLLATE "C" NOT NULL,
    created_at timestamptz NOT NULL,
    topic text NOT NULL,
    kafka_partition integer NOT NULL,
    kafka_offset bigint NOT NULL,
    lang text,
    author_hash text,
    hashtags text[] NOT NULL,
    emotion text NOT NULL,
    unlabelled_reason text,
    confidence real,
    sadness real,
    joy real,
    love real,
    anger real,
    fear real,
    surprise real,
    model_id integer NOT NULL,
    labelled_at timestamptz NOT NULL DEFAULT now(),
    text text,
    CONSTRAINT post_emotions_pkey PRIMARY KEY (platform, post_id, created_at)
) PARTITION BY RANGE (created_at);
COMMENT ON TABLE post_emotions IS 'One row per live post: its label. Partitioned by day (UTC) of created_at';
COMMENT ON COLUMN post_emotions.emotion IS 'sadness, joy, love, anger, fear, surprise, uncertain or unlabelled';
COMMENT ON COLUMN post_emotions.confidence IS 'Calibrated probability of the most probable of the six';
COMMENT ON COLUMN post_emotions.sadness IS 'Calibrated probability, rounded to millionths; null if unlabelled';
COMMENT ON COLUMN post_emotions.model_id IS 'models.id; no foreign key, which would cost every insert a look-up';
COMMENT ON COLUMN post_emotions.text IS 'Kept only with WORKER_STORE_TEXT';
CREATE TABLE post_emotions_default PARTITION OF post_emotions DEFAULT;

CREATE TABLE trend_cells (
    granularity text COLLATE "C" NOT NULL,
    dimension text COLLATE "C" NOT NULL,
    value text COLLATE "C" NOT NULL,
    bucket timestamptz NOT NULL,
    slot smallint NOT NULL,
    sadness bigint NOT NULL,
    joy bigint NOT NULL,
    love bigint NOT NULL,
    anger bigint NOT NULL,
    fear bigint NOT NULL,
    surprise bigint NOT NULL,
    uncertain bigint NOT NULL,
    unlabelled bigint NOT NULL,
    sadness_score bigint NOT NULL,
    joy_score bigint NOT NULL,
    love_score bigint NOT NULL,
    anger_score bigint NOT NULL,
    fear_score bigint NOT NULL,
    surprise_score bigint NOT NULL,
    CONSTRAINT trend_cells_pkey PRIMARY KEY (granularity, dimension, value, bucket, slot),
    CONSTRAINT trend_cells_granularity CHECK (granularity IN ('1m', '1h', '1d'))
) PARTITION BY LIST (granularity);
COMMENT ON TABLE trend_cells IS 'Counts and score sums by bucket and dimension value, in slots that are summed; read emotion_trends instead';
COMMENT ON COLUMN trend_cells.slot IS 'A writer adds to its own slot, so that writers do not wait for each other; one slot may be negative, the sum is not';
COMMENT ON COLUMN trend_cells.sadness_score IS 'Sum of the probability over labelled posts, in millionths: integers, so that sums are exact and reversible';
CREATE TABLE trend_cells_1m PARTITION OF trend_cells FOR VALUES IN ('1m') WITH (fillfactor = 80);
CREATE TABLE trend_cells_1h PARTITION OF trend_cells FOR VALUES IN ('1h') WITH (fillfactor = 80);
CREATE TABLE trend_cells_1d PARTITION OF trend_cells FOR VALUES IN ('1d') WITH (fillfactor = 80);

CREATE TABLE dead_letters (
    id bigint GENERATED ALWAYS AS IDENTITY,
    topic text NOT NULL,
    topic_id uuid NOT NULL,
    kafka_partition integer NOT NULL,
    kafka_offset bigint NOT NULL,
    kafka_timestamp timestamptz,
    key bytea,
    value bytea,
    value_length bigint,
    value_sha256 bytea,
    reason text NOT NULL,
    detail text NOT NULL,
    fingerprint text NOT NULL,
    attempts integer NOT NULL DEFAULT 0,
    state text NOT NULL DEFAULT 'new',
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT dead_letters_pkey PRIMARY KEY (id),
    CONSTRAINT dead_letters_record_key UNIQUE (topic, topic_id, kafka_partition, kafka_offset),
    CONSTRAINT dead_letters_state CHECK (state IN ('new', 'retried', 'dropped'))
);
CREATE INDEX dead_letters_fingerprint ON dead_letters (fingerprint, created_at);
COMMENT ON TABLE dead_letters IS 'Records that are no posts, with their raw bytes and a reason';
COMMENT ON COLUMN dead_letters.value IS 'The raw bytes; null for a null value and for one over 1 MiB, which cannot be retried';
COMMENT ON COLUMN dead_letters.fingerprint IS 'Equal for rejections with the same cause';

CREATE VIEW emotion_trends AS
WITH progress AS (
    SELECT CASE WHEN count(*) = count(watermark) THEN min(watermark) END AS complete_until
    FROM stream_offsets
    WHERE retired_at IS NULL AND NOT starts_with(topic, '@')
), cells AS (
    SELECT
        granularity, dimension, value, bucket,
        sum(sadness)::bigint AS sadness, sum(joy)::bigint AS joy, sum(love)::bigint AS love,
        sum(anger)::bigint AS anger, sum(fear)::bigint AS fear, sum(surprise)::bigint AS surprise,
        sum(uncertain)::bigint AS uncertain, sum(unlabelled)::bigint AS unlabelled,
        sum(sadness_score)::bigint AS sadness_score, sum(joy_score)::bigint AS joy_score,
        sum(love_score)::bigint AS love_score, sum(anger_score)::bigint AS anger_score,
        sum(fear_score)::bigint AS fear_score, sum(surprise_score)::bigint AS surprise_score
    FROM trend_cells
    GROUP BY granularity, dimension, value, bucket
), totals AS (
    SELECT *, sadness + joy + love + anger + fear + surprise + uncertain AS total_posts
    FROM cells
)
SELECT
    t.granularity, t.bucket, t.dimension, t.value, e.emotion, e.posts, t.total_posts,
    CASE WHEN e.emotion <> 'unlabelled' THEN e.posts::float8 / nullif(t.total_posts, 0) END AS share,
    e.score / 1e6::float8 / nullif(t.total_posts, 0) AS mean_score,
    coalesce(
        t.bucket + CASE t.granularity
            WHEN '1m' THEN interval '1 minute'
            WHEN '1h' THEN interval '1 hour'
            ELSE interval '24 hours'
        END <= (SELECT complete_until FROM progress),
        false
    ) AS complete
FROM totals AS t
CROSS JOIN LATERAL (VALUES
    ('sadness', t.sadness, t.sadness_score),
    ('joy', t.joy, t.joy_score),
    ('love', t.love, t.love_score),
    ('anger', t.anger, t.anger_score),
    ('fear', t.fear, t.fear_score),
    ('surprise', t.surprise, t.surprise_score),
    ('uncertain', t.uncertain, NULL),
    ('unlabelled', t.unlabelled, NULL)
) AS e (emotion, posts, score)
WHERE t.total_posts <> 0 OR t.unlabelled <> 0;
COMMENT ON VIEW emotion_trends IS 'What people feel: one row per bucket, dimension value and emotion';
COMMENT ON COLUMN emotion_trends.granularity IS '1m, 1h or 1d';
COMMENT ON COLUMN emotion_trends.bucket IS 'Start of the bucket, UTC, by the time of the post';
COMMENT ON COLUMN emotion_trends.dimension IS 'all, platform, lang, hashtag or topic';
COMMENT ON COLUMN emotion_trends.value IS '* for all; und for an unknown language';
COMMENT ON COLUMN emotion_trends.posts IS 'Posts with this emotion';
COMMENT ON COLUMN emotion_trends.total_posts IS 'Labelled posts: the six emotions and uncertain';
COMMENT ON COLUMN emotion_trends.share IS 'posts / total_posts; null for unlabelled';
COMMENT ON COLUMN emotion_trends.mean_score IS 'Mean probability of the emotion over total_posts; null for uncertain and unlabelled';
COMMENT ON COLUMN emotion_trends.complete IS 'True once every live partition has been read past the end of the bucket';
