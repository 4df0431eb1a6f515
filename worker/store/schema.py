r"""The tables, as SQLAlchemy sees them: what Alembic compares the database with.

The database's own comments, not repeated here, say what each column means (`\d+` shows them).
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, DOUBLE_PRECISION, JSONB, REAL, TSTZRANGE

from worker.posts import LABELS

OUTCOMES: Final = (
    "labelled",
    "unlabelled",
    "replaced",
    "duplicates",
    "stale",
    "withdrawn",
    "erased",
    "expired",
    "dead_lettered",
)
"""What can become of a record; each record has exactly one."""

metadata: Final = MetaData()

_TIME = DateTime(timezone=True)
_SORTED = Text(collation="C")


def _count(name: str) -> Column[int]:
    return Column(name, BigInteger, nullable=False, server_default=text("0"))


policy = Table(
    "policy",
    metadata,
    Column("singleton", Boolean, nullable=False, server_default=text("true")),
    Column("label_floor", _TIME),
    Column("minute_floor", _TIME),
    Column("erasure_key", LargeBinary, nullable=False),
    Column("author_key_fingerprint", LargeBinary),
    PrimaryKeyConstraint("singleton", name="policy_pkey"),
    CheckConstraint("singleton", name="policy_is_one_row"),
)

schema_revisions = Table(
    "schema_revisions",
    metadata,
    Column("revision", Text, nullable=False),
    Column("oldest", Text, nullable=False),
    Column("applied_at", _TIME, nullable=False, server_default=func.now()),
    Column("applied_by", Text, nullable=False),
    PrimaryKeyConstraint("revision", name="schema_revisions_pkey"),
)

erasures = Table(
    "erasures",
    metadata,
    Column("kind", Text, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    Column("erased_at", _TIME, nullable=False, server_default=func.now()),
    PrimaryKeyConstraint("kind", "hash", name="erasures_pkey"),
)

models = Table(
    "models",
    metadata,
    Column("id", Integer, Identity(always=True), nullable=False),
    Column("name", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("base", Text, nullable=False),
    Column("labels", ARRAY(Text), nullable=False),
    Column("metrics", JSONB, nullable=False),
    Column("registered_at", _TIME, nullable=False, server_default=func.now()),
    PrimaryKeyConstraint("id", name="models_pkey"),
    UniqueConstraint("sha256", name="models_sha256_key"),
)

stream_offsets = Table(
    "stream_offsets",
    metadata,
    Column("consumer_group", Text, nullable=False),
    Column("topic", Text, nullable=False),
    Column("topic_id", Uuid, nullable=False),
    Column("kafka_partition", Integer, nullable=False),
    Column("next_offset", BigInteger),
    Column("owner_epoch", BigInteger, nullable=False, server_default=text("0")),
    Column("owner_id", Text),
    Column("watermark", _TIME),
    Column("updated_at", _TIME, nullable=False, server_default=func.now()),
    Column("retired_at", _TIME),
    _count("consumed"),
    *(_count(name) for name in OUTCOMES),
    Column("tripped_at", _TIME),
    PrimaryKeyConstraint(
        "consumer_group", "topic", "topic_id", "kafka_partition", name="stream_offsets_pkey"
    ),
)

posts = Table(
    "posts",
    metadata,
    Column("platform", _SORTED, nullable=False),
    Column("post_id", _SORTED, nullable=False),
    Column("state", Text, nullable=False),
    Column("version", _TIME),
    Column("generation", Integer, nullable=False, server_default=text("0")),
    Column("created_at", _TIME),
    Column("topic", Text, nullable=False),
    Column("topic_id", Uuid, nullable=False),
    Column("kafka_partition", Integer, nullable=False),
    Column("kafka_offset", BigInteger, nullable=False),
    Column("author_hash", Text),
    PrimaryKeyConstraint("platform", "post_id", name="posts_pkey"),
    Index("posts_author", "author_hash", postgresql_where=text("author_hash IS NOT NULL")),
)

post_emotions = Table(
    "post_emotions",
    metadata,
    Column("platform", _SORTED, nullable=False),
    Column("post_id", _SORTED, nullable=False),
    Column("created_at", _TIME, nullable=False),
    Column("topic", Text, nullable=False),
    Column("kafka_partition", Integer, nullable=False),
    Column("kafka_offset", BigInteger, nullable=False),
    Column("lang", Text),
    Column("author_hash", Text),
    Column("hashtags", ARRAY(Text), nullable=False),
    Column("emotion", Text, nullable=False),
    Column("unlabelled_reason", Text),
    Column("confidence", REAL),
    *(Column(name, REAL) for name in LABELS),
    Column("model_id", Integer, nullable=False),
    Column("labelled_at", _TIME, nullable=False, server_default=func.now()),
    Column("text", Text),
    PrimaryKeyConstraint("platform", "post_id", "created_at", name="post_emotions_pkey"),
    Index(
        "post_emotions_created_at",
        "created_at",
        postgresql_using="brin",
        postgresql_with={"pages_per_range": 32, "autosummarize": True},
    ),
    postgresql_partition_by="RANGE (created_at)",
)

trend_cells = Table(
    "trend_cells",
    metadata,
    Column("granularity", _SORTED, nullable=False),
    Column("dimension", _SORTED, nullable=False),
    Column("value", _SORTED, nullable=False),
    Column("bucket", _TIME, nullable=False),
    Column("slot", SmallInteger, nullable=False),
    *(Column(name, BigInteger, nullable=False) for name in (*LABELS, "uncertain", "unlabelled")),
    *(Column(f"{name}_score", BigInteger, nullable=False) for name in LABELS),
    PrimaryKeyConstraint(
        "granularity", "dimension", "value", "bucket", "slot", name="trend_cells_pkey"
    ),
    Index("trend_cells_unfolded", "bucket", postgresql_where=text("slot <> 0")),
    postgresql_partition_by="LIST (granularity)",
)

dead_letters = Table(
    "dead_letters",
    metadata,
    Column("id", BigInteger, Identity(always=True), nullable=False),
    Column("topic", Text, nullable=False),
    Column("topic_id", Uuid, nullable=False),
    Column("kafka_partition", Integer, nullable=False),
    Column("kafka_offset", BigInteger, nullable=False),
    Column("kafka_timestamp", _TIME),
    Column("key", LargeBinary),
    Column("value", LargeBinary),
    Column("value_length", BigInteger),
    Column("value_sha256", LargeBinary),
    Column("reason", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("fingerprint", Text, nullable=False),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("state", Text, nullable=False, server_default=text("'new'")),
    Column("created_at", _TIME, nullable=False, server_default=func.now()),
    PrimaryKeyConstraint("id", name="dead_letters_pkey"),
    UniqueConstraint(
        "topic", "topic_id", "kafka_partition", "kafka_offset", name="dead_letters_record_key"
    ),
    Index("dead_letters_fingerprint", "fingerprint", "created_at"),
)

replays = Table(
    "replays",
    metadata,
    Column("name", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("state", Text, nullable=False, server_default=text("'running'")),
    Column("generation", Integer),
    Column("model_id", Integer, nullable=False),
    Column("consumer_group", Text, nullable=False),
    Column("topics", ARRAY(Text), nullable=False),
    Column("range", TSTZRANGE, nullable=False),
    Column("files", Boolean, nullable=False, server_default=text("false")),
    Column("revision", Integer, nullable=False, server_default=text("0")),
    Column("progress", DOUBLE_PRECISION, nullable=False, server_default=text("0")),
    _count("promoted"),
    _count("superseded"),
    _count("restored"),
    Column("created_at", _TIME, nullable=False, server_default=func.now()),
    Column("updated_at", _TIME, nullable=False, server_default=func.now()),
    Column("finished_at", _TIME),
    Column("promoted_at", _TIME),
    PrimaryKeyConstraint("name", name="replays_pkey"),
    UniqueConstraint("generation", name="replays_generation_key"),
    UniqueConstraint("consumer_group", name="replays_consumer_group_key"),
    Index(
        "replays_one_promotion",
        text("(true)"),
        unique=True,
        postgresql_where=text("state IN ('promoting', 'promoted', 'rolling_back')"),
    ),
)

replay_logs = Table(
    "replay_logs",
    metadata,
    Column("replay", Text, nullable=False),
    Column("topic", Text, nullable=False),
    Column("topic_id", Uuid, nullable=False),
    Column("kafka_partition", Integer, nullable=False),
    Column("start_offset", BigInteger, nullable=False),
    Column("end_offset", BigInteger, nullable=False),
    PrimaryKeyConstraint("replay", "topic", "topic_id", "kafka_partition", name="replay_logs_pkey"),
)


def _label() -> tuple[Column[Any], ...]:
    """What a label says, as the batches' temporary tables have it: scores in millionths."""
    return (
        Column("lang", Text),
        Column("author_hash", Text),
        Column("hashtags", ARRAY(Text)),
        Column("emotion", Text),
        Column("unlabelled_reason", Text),
        Column("confidence", REAL),
        *(Column(name, Integer) for name in LABELS),
    )


shadow_labels = Table(
    "shadow_labels",
    metadata,
    Column("replay", Text, nullable=False),
    Column("platform", _SORTED, nullable=False),
    Column("post_id", _SORTED, nullable=False),
    Column("post_hash", LargeBinary, nullable=False),
    Column("version", _TIME),
    Column("created_at", _TIME),
    Column("topic", Text, nullable=False),
    Column("topic_id", Uuid, nullable=False),
    Column("kafka_partition", Integer, nullable=False),
    Column("kafka_offset", BigInteger, nullable=False),
    *_label(),
    Column("text", Text),
    PrimaryKeyConstraint("replay", "platform", "post_id", name="shadow_labels_pkey"),
    Index("shadow_labels_author", "author_hash", postgresql_where=text("author_hash IS NOT NULL")),
)

kept_labels = Table(
    "kept_labels",
    metadata,
    Column("generation", Integer, nullable=False),
    Column("platform", _SORTED, nullable=False),
    Column("post_id", _SORTED, nullable=False),
    Column("version", _TIME),
    Column("kept_generation", Integer),
    Column("created_at", _TIME),
    Column("topic", Text),
    Column("topic_id", Uuid),
    Column("kafka_partition", Integer),
    Column("kafka_offset", BigInteger),
    *_label(),
    Column("model_id", Integer),
    Column("labelled_at", _TIME),
    Column("label_topic", Text),
    Column("text", Text),
    PrimaryKeyConstraint("generation", "platform", "post_id", name="kept_labels_pkey"),
    Index("kept_labels_author", "author_hash", postgresql_where=text("author_hash IS NOT NULL")),
)
