"""The catalogue of metrics, and what each word of the pipeline counts."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest
from prometheus_client import generate_latest
from prometheus_client.exposition import choose_encoder
from prometheus_client.parser import text_string_to_metric_families

from worker.metrics import MOVES, PREFIX, STAGES, Metrics, Stage
from worker.posts import Post, Record, RecordRef, Rejection, Withdrawal
from worker.posts.place import Partition, Span
from worker.posts.rejections import REASONS
from worker.store.interface import Entry, LabelledBatch, Written
from worker.store.schema import OUTCOMES

NOW = 1_700_000_000.0
TOPIC_ID = UUID(int=7)
# The contract's names; what else there is, the reference page lists.
CONTRACT = {
    "posts_total": ("outcome",),
    "records_consumed_total": ("topic",),
    "lag_records": ("topic", "partition"),
    "lag_seconds": ("topic", "partition"),
    "end_to_end_seconds": (),
    "stage_seconds": ("stage",),
    "queue_depth": ("stage",),
    "batch_posts": (),
    "batch_tokens": (),
    "batch_fill_ratio": (),
    "rebalances_total": (),
    "fenced_batches_total": (),
    "dead_letters_total": ("reason",),
    "watermark_seconds": ("topic", "partition"),
    "model_info": ("name", "version", "device"),
}


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(wall=lambda: NOW)


def value(metrics: Metrics, name: str, /, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(PREFIX + name, labels)


def entry(offset: int, *, partition: int = 0, age_s: float = 2.0, rejected: bool = False) -> Entry:
    ref = RecordRef("posts", TOPIC_ID, partition, offset)
    decoded: Rejection | Withdrawal = Withdrawal(ref, "tw", str(offset))
    if rejected:
        decoded = Rejection(ref, "bad_json", "The value is not JSON.", "0" * 16)
    timestamp_ms = int((NOW - age_s) * 1_000) if age_s < NOW else -1
    return Entry(Record(ref, timestamp_ms, None, b""), decoded)


def span(partition: int) -> Span:
    return Span(Partition("posts", TOPIC_ID, partition), 1, 0, 10, None)


def test_the_contracts_names_and_labels(metrics: Metrics) -> None:
    listed = {entry.name.removeprefix(PREFIX): entry.labels for entry in metrics.catalogue}
    assert CONTRACT.items() <= listed.items()
    assert len(listed) == len(metrics.catalogue)


def test_what_is_listed_is_what_is_shown(metrics: Metrics) -> None:
    """Each metric under its own name, with its own labels and help, once it has a series."""
    metrics.runs(["posts"], name="m", version="1", device="cpu")
    metrics.lag("posts", 0, records=1, oldest_ms=0)
    metrics.watermarked("posts", 0, datetime(2026, 1, 1, tzinfo=UTC))
    metrics.moved("posts", 0, "gap", lost=3)
    metrics.up({"poll": True}, {"broker": True})
    # The text format calls a counter by its family's name where it is parsed.
    shown = {
        family.name + ("_total" if family.type == "counter" else ""): family
        for family in text_string_to_metric_families(generate_latest(metrics.registry).decode())
        if family.name.startswith(PREFIX) and not family.name.endswith("_created")
    }
    assert shown.keys() == {entry.name for entry in metrics.catalogue}
    for entry in metrics.catalogue:
        family = shown[entry.name]
        assert family.documentation == entry.meaning
        kind = "gauge" if entry.kind == "info" else entry.kind
        assert family.type == kind
        for sample in family.samples:
            assert set(sample.labels) - {"le"} == set(entry.labels)


def test_names_follow_the_fields_conventions(metrics: Metrics) -> None:
    for entry in metrics.catalogue:
        assert re.fullmatch(r"emotion_worker_[a-z_]+[a-z]", entry.name)
        assert entry.name.endswith("_total") == (entry.kind == "counter")
        assert entry.meaning.endswith(".")
    # OpenMetrics is stricter than the older format: units must be the names' last words.
    encode, _ = choose_encoder("application/openmetrics-text; version=1.0.0")
    text = encode(metrics.registry).decode()
    assert "# UNIT emotion_worker_lag_seconds seconds\n" in text
    assert "# UNIT emotion_worker_batch_tokens tokens\n" in text
    assert text.endswith("# EOF\n")


def test_the_process_is_shown_too(metrics: Metrics) -> None:
    names = {family.name for family in metrics.registry.collect()}
    assert {"process_resident_memory_bytes", "process_open_fds", "python_info"} <= names


def test_two_of_them_share_nothing() -> None:
    first, second = Metrics(), Metrics()
    first.rebalanced()
    assert value(first, "rebalances_total") == 1
    assert value(second, "rebalances_total") == 0


def test_what_is_known_beforehand_stands_at_zero(metrics: Metrics) -> None:
    metrics.runs(["a", "b"], name="m", version="1", device="cpu")
    for outcome in OUTCOMES:
        assert value(metrics, "posts_total", outcome=outcome) == 0
    for reason in (*REASONS, "model_failed"):
        assert value(metrics, "dead_letters_total", reason=reason) == 0
    for stage in STAGES:
        assert value(metrics, "stage_seconds_count", stage=stage) == 0
        assert value(metrics, "stalls_total", what=stage) == 0
    assert value(metrics, "stalls_total", what="partition") == 0
    assert value(metrics, "stalls_total", what="join") == 0
    for topic in ("a", "b"):
        assert value(metrics, "records_consumed_total", topic=topic) == 0
        assert value(metrics, "breaker_trips_total", topic=topic) == 0
        for kind in MOVES:
            assert value(metrics, "log_moves_total", topic=topic, kind=kind) == 0


def test_a_stored_batch_counts_as_the_ledger_does(metrics: Metrics) -> None:
    entries = (
        *(entry(offset) for offset in range(3)),
        entry(3, rejected=True),
        entry(0, partition=1, rejected=True),  # fenced: its dead letter is another worker's
        entry(0, partition=2, rejected=True),  # stood already
        entry(0, partition=3, rejected=True),  # was revoked before the write
    )
    batch = LabelledBatch(tuple(span(n) for n in range(3)), entries, 1)
    outcomes = {"labelled": 2, "duplicates": 1, "dead_lettered": 1, "stale": 0}
    written = Written({span(0).partition: outcomes}, fenced=(span(1),), repeated=(span(2),))
    metrics.stored(batch, written)
    assert value(metrics, "records_consumed_total", topic="posts") == 4
    assert value(metrics, "posts_total", outcome="labelled") == 2
    assert value(metrics, "posts_total", outcome="duplicates") == 1
    assert value(metrics, "posts_total", outcome="dead_lettered") == 1
    assert value(metrics, "posts_total", outcome="stale") == 0
    assert value(metrics, "dead_letters_total", reason="bad_json") == 1
    assert value(metrics, "fenced_batches_total") == 1
    assert value(metrics, "repeated_commits_total") == 1
    assert value(metrics, "end_to_end_seconds_count") == 4
    assert value(metrics, "end_to_end_seconds_sum") == pytest.approx(8)
    metrics.stored(batch, Written({span(0).partition: outcomes}))
    assert value(metrics, "records_consumed_total", topic="posts") == 8
    assert value(metrics, "fenced_batches_total") == 1


def test_end_to_end_bears_odd_clocks(metrics: Metrics) -> None:
    """A producer's clock that is ahead, and a record without a timestamp."""
    batch = LabelledBatch((span(0),), (entry(0, age_s=-30), entry(1, age_s=2 * NOW)), 1)
    metrics.stored(batch, Written({span(0).partition: {"labelled": 2}}))
    assert value(metrics, "end_to_end_seconds_count") == 1
    assert value(metrics, "end_to_end_seconds_sum") == 0


def test_buckets_tell_apart_where_the_worker_usually_is(metrics: Metrics) -> None:
    """Full batches of the default budgets fall below a bound, and the next bound is above."""
    for posts, tokens in ((256, 8_192), (1_024, 32_768)):
        metrics.cut(posts=posts, tokens=tokens, fill=1.2)
    assert value(metrics, "batch_posts_bucket", le="128.0") == 0
    assert value(metrics, "batch_posts_bucket", le="256.0") == 1
    assert value(metrics, "batch_posts_bucket", le="1024.0") == 2
    assert value(metrics, "batch_tokens_bucket", le="8192.0") == 1
    assert value(metrics, "batch_tokens_bucket", le="32768.0") == 2
    assert value(metrics, "batch_fill_ratio_bucket", le="0.9") == 0
    assert value(metrics, "batch_fill_ratio_bucket", le="1.0") == 2


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_is_timed(metrics: Metrics, stage: Stage) -> None:
    with metrics.timed(stage):
        pass
    with pytest.raises(ZeroDivisionError), metrics.timed(stage):
        _ = 1 / 0
    assert value(metrics, "stage_seconds_count", stage=stage) == 2
    assert value(metrics, "stage_seconds_bucket", stage=stage, le="60.0") == 2
    metrics.waiting(stage, 2)
    assert value(metrics, "queue_depth", stage=stage) == 2


def test_lag_has_records_and_seconds(metrics: Metrics) -> None:
    place = {"topic": "posts", "partition": "3"}
    metrics.lag("posts", 3, records=10)
    assert value(metrics, "lag_records", **place) == 10
    assert value(metrics, "lag_seconds", **place) is None  # nobody knows yet
    metrics.lag("posts", 3, records=10, oldest_ms=int((NOW - 90) * 1_000))
    assert value(metrics, "lag_seconds", **place) == pytest.approx(90)
    metrics.lag("posts", 3, records=5)
    assert value(metrics, "lag_records", **place) == 5
    assert value(metrics, "lag_seconds", **place) == pytest.approx(90)
    metrics.lag("posts", 3, records=0)
    assert value(metrics, "lag_seconds", **place) == 0
    metrics.lag("posts", 3, records=-1)  # the end was asked for before the last commit
    assert value(metrics, "lag_records", **place) == 0
    metrics.lag("posts", 3, records=1, oldest_ms=int((NOW + 5) * 1_000))
    assert value(metrics, "lag_seconds", **place) == 0


def test_a_partition_that_is_gone_shows_no_state_but_keeps_its_history(metrics: Metrics) -> None:
    for partition in (0, 1):
        metrics.lag("posts", partition, records=5, oldest_ms=0)
        metrics.watermarked("posts", partition, datetime.fromtimestamp(1_000, UTC))
        metrics.moved("posts", partition, "gap", lost=7)
    metrics.forget("posts", 0)
    metrics.forget("posts", 0)
    metrics.forget("never", 9)
    for name, kept in (("lag_records", 5), ("watermark_seconds", 1_000), ("lag_seconds", NOW)):
        assert value(metrics, name, topic="posts", partition="0") is None
        assert value(metrics, name, topic="posts", partition="1") == kept
    assert value(metrics, "lost_records_total", topic="posts", partition="0") == 7
    assert value(metrics, "log_moves_total", topic="posts", kind="gap") == 2


def test_a_log_that_moved_may_have_lost_nothing(metrics: Metrics) -> None:
    metrics.moved("posts", 0, "recreated")
    assert value(metrics, "log_moves_total", topic="posts", kind="recreated") == 1
    assert value(metrics, "lost_records_total", topic="posts", partition="0") is None


def test_single_events_are_counted(metrics: Metrics) -> None:
    metrics.rebalanced(2)
    metrics.tripped("posts")
    metrics.not_mirrored(3)
    metrics.stalled("partition")
    assert value(metrics, "rebalances_total") == 2
    assert value(metrics, "breaker_trips_total", topic="posts") == 1
    assert value(metrics, "dead_letter_mirror_failures_total") == 3
    assert value(metrics, "stalls_total", what="partition") == 1
    metrics.up({"poll": True, "store": False}, {"database": False})
    assert value(metrics, "stage_up", stage="poll") == 1
    assert value(metrics, "stage_up", stage="store") == 0
    assert value(metrics, "dependency_up", dependency="database") == 0


def test_the_model_is_named(metrics: Metrics) -> None:
    metrics.runs([], name="builtin", version="1.0", device="cuda:0")
    labels = {"name": "builtin", "version": "1.0", "device": "cuda:0"}
    assert value(metrics, "model_info", **labels) == 1


def test_nothing_but_the_catalogue_makes_metrics() -> None:
    """One module holds them all."""
    worker = Path(__file__).parents[2] / "worker"
    makers = {
        str(file.relative_to(worker))
        for file in worker.rglob("*.py")
        if re.search(
            r"prometheus_client import[^)]*\b(Counter|Gauge|Histogram|Info|Summary)\b",
            file.read_text(encoding="utf-8"),
        )
    }
    assert makers == {"metrics.py"}


def test_a_post_is_no_dead_letter(metrics: Metrics) -> None:
    ref = RecordRef("posts", TOPIC_ID, 0, 0)
    at = datetime(2026, 1, 1, tzinfo=UTC)
    post = Post(ref, "tw", "1", "text", at, at, None, None, ())
    batch = LabelledBatch((span(0),), (Entry(Record(ref, 0, None, b""), post),), 1)
    metrics.stored(batch, Written({span(0).partition: {"unlabelled": 1}}))
    assert sum(value(metrics, "dead_letters_total", reason=reason) or 0 for reason in REASONS) == 0
    assert value(metrics, "posts_total", outcome="unlabelled") == 1
