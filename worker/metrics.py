"""The metrics, all of them: what is counted, in which unit, and what it is called.

Names follow https://prometheus.io/docs/practices/naming/. The reference page's tables are made
from here: `python -m worker.metrics` prints them.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    PlatformCollector,
    ProcessCollector,
)

from worker.posts import Rejection
from worker.posts.rejections import REASONS
from worker.store.schema import OUTCOMES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractContextManager
    from datetime import datetime

    from worker.store.interface import LabelledBatch, Written

    Wall = Callable[[], float]

PREFIX: Final = "emotion_worker_"

Stage = Literal["poll", "classify", "store"]
Move = Literal["gap", "above_end", "recreated", "not_adopted"]

STAGES: Final[tuple[Stage, ...]] = ("poll", "classify", "store")
MOVES: Final[Mapping[Move, str]] = {
    "gap": "retention took records before they were read",
    "above_end": "the position lay behind the log's end",
    "recreated": "the topic was made anew under its old name",
    "not_adopted": "a commit in Kafka was passed over, for no position is stored here",
}
MODEL_FAILED: Final = "model_failed"

# Upper bounds. A quantile is read between two of them, so they lie close where the worker
# usually is, and reach to where it is in trouble.

_END_TO_END_S: Final = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1_800, 7_200, 86_400)
"""A GPU lingers 0.05 s and a CPU 0.2 s; a CPU's batch of 256 posts takes 0.5 s to label, and two
may wait before each stage: 0.1 to 5 s when all is well. A takeover costs a session timeout (45 s),
an outage minutes; a day is a backlog."""
_STAGE_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60)
"""A poll's records are decoded in milliseconds; 1,024 posts are stored in 0.1 s and labelled in
0.05 s (GPU) to 2.5 s (CPU). 15 s is the longest wait for a lock, 60 s counts as a stall."""
_POSTS: Final = (1, 4, 16, 64, 128, 256, 512, 1_024, 2_048, 4_096)
"""The default budgets, 256 on a CPU and 1,024 on a GPU, are bounds, and so are their halves."""
_TOKENS: Final = (64, 256, 1_024, 2_048, 4_096, 8_192, 16_384, 32_768, 65_536)
"""Likewise 8,192 and 32,768."""
_RATIO: Final = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)

M = TypeVar("M", Counter, Gauge, Histogram, Info)


@dataclass(frozen=True, slots=True)
class Entry:
    """A metric of the catalogue, as the reference page shows it.

    Attributes:
        name: In full, as a query writes it.
        kind: `counter`, `gauge`, `histogram` or `info`.
        labels: Their names.
        unit: What the value counts.
        meaning: One sentence.
    """

    name: str
    kind: str
    labels: tuple[str, ...]
    unit: str
    meaning: str


class Metrics:
    """One process's metrics, in a registry of their own. Thread-safe.

    Series of the labels that are known beforehand stand at zero from the start: a rate over a
    series that appears with its first event misses that event.

    Args:
        wall: Wall clock, seconds since the epoch.

    Attributes:
        registry: What `/metrics` shows.
        catalogue: All of the worker's own metrics, in the order of the reference page.
    """

    def __init__(self, wall: Wall = time.time) -> None:
        self._wall = wall
        self.registry = CollectorRegistry()
        self.catalogue: list[Entry] = []
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)

        partition = ("topic", "partition")
        self.posts = self._counter(
            "posts_total",
            "Records that this worker has stored, by what became of them in the ledger.",
            "records",
            ("outcome",),
        )
        self.records_consumed = self._counter(
            "records_consumed_total",
            "Records that this worker has stored; the sum over the outcomes.",
            "records",
            ("topic",),
        )
        self.records_skipped = self._counter(
            "records_skipped_total",
            "Records that were read and are none of a post's business, by what they are: no ledger "
            "counts them. What is read again counts again.",
            "records",
            ("topic", "event"),
        )
        self.dead_letters = self._counter(
            "dead_letters_total",
            "Records that became dead letters, by reason.",
            "records",
            ("reason",),
        )
        self.lag_records = self._gauge(
            "lag_records",
            "Offsets between the stored position and the log's end.",
            "records",
            partition,
        )
        self.lag_seconds = self._gauge(
            "lag_seconds",
            "Age of the oldest record that is not stored yet, by its Kafka timestamp; 0 where all "
            "are stored.",
            "seconds",
            partition,
        )
        self.watermark = self._gauge(
            "watermark_seconds",
            "The partition's watermark, as seconds since the epoch: `time()` less this is how far "
            "it stays behind.",
            "seconds",
            partition,
        )
        self.end_to_end = self._histogram(
            "end_to_end_seconds",
            "From a record's Kafka timestamp to its commit in Postgres.",
            "seconds",
            (),
            _END_TO_END_S,
        )
        self.stage_seconds = self._histogram(
            "stage_seconds",
            "What a stage takes for one batch; `poll`: to decode what one poll returned.",
            "seconds",
            ("stage",),
            _STAGE_S,
        )
        self.queue_depth = self._gauge(
            "queue_depth",
            "Batches that wait before a stage; `poll`: that it cannot hand on.",
            "batches",
            ("stage",),
        )
        self.batch_posts = self._histogram(
            "batch_posts", "Records in a micro-batch.", "posts", (), _POSTS
        )
        self.batch_tokens = self._histogram(
            "batch_tokens", "Estimated tokens in a micro-batch.", "tokens", (), _TOKENS
        )
        self.batch_fill = self._histogram(
            "batch_fill_ratio",
            "How much of its budget a micro-batch used, of tokens or of posts, whichever is more: "
            "near 1 it closed because it was full, else because it had lingered.",
            "ratio",
            (),
            _RATIO,
        )
        self.rebalances = self._counter(
            "rebalances_total", "Assignments of partitions to this worker.", "rebalances"
        )
        self.fenced_batches = self._counter(
            "fenced_batches_total",
            "Batches of which another worker's claim kept a partition out.",
            "batches",
        )
        self.repeated_commits = self._counter(
            "repeated_commits_total",
            "Batches that stood already: their commit had succeeded and only the answer was lost. "
            "Their records are in the ledger, but not in the counters above.",
            "batches",
        )
        self.log_moves = self._counter(
            "log_moves_total",
            "Partitions whose log was not as the stored position expects, by kind: "
            + "; ".join(f"`{kind}`, {words}" for kind, words in MOVES.items())
            + ".",
            "moves",
            ("topic", "kind"),
        )
        self.lost_records = self._counter(
            "lost_records_total",
            "Offsets that were passed over unread, for the log no longer had them.",
            "records",
            partition,
        )
        self.breaker_trips = self._counter(
            "breaker_trips_total",
            "Times that the circuit breaker stopped the worker.",
            "trips",
            ("topic",),
        )
        self.dead_letter_mirror_failures = self._counter(
            "dead_letter_mirror_failures_total",
            "Dead letters that could not be sent to WORKER_DEAD_LETTER_TOPIC; the table has them.",
            "records",
        )
        self.stalls = self._counter(
            "stalls_total",
            "Times that a stage stood still for WORKER_STALL_SECONDS, or that a `partition` with "
            "records left to read, or unclaimed for as long, had to be sought or claimed again, or "
            "that a `join` of the group did not end and was begun in another way.",
            "stalls",
            ("what",),
        )
        self.stage_up = self._gauge(
            "stage_up", "1 while a stage moves, 0 once it counts as stalled.", "", ("stage",)
        )
        self.dependency_up = self._gauge(
            "dependency_up",
            "1 while the `broker` or the `database` answers, else 0.",
            "",
            ("dependency",),
        )
        self.model = self._info("model_info", "The model that labels; always 1.")
        self._begin_at_zero()

    # What the pipeline says

    def runs(self, topics: Sequence[str], *, name: str, version: str, device: str) -> None:
        """What this process reads, and with which model it labels."""
        self.model.info({"name": name, "version": version, "device": device})
        for topic in topics:
            self.records_consumed.labels(topic)
            self.breaker_trips.labels(topic)
            for kind in MOVES:
                self.log_moves.labels(topic, kind)

    def skipped(self, topic: str, events: Mapping[str, int]) -> None:
        """Records of a topic are none of a post's business: how many, by what they are."""
        for event, records in events.items():
            self.records_skipped.labels(topic, event).inc(records)

    def timed(self, stage: Stage) -> AbstractContextManager[object]:
        """Around what a stage does for one batch; not around its waiting."""
        return self.stage_seconds.labels(stage).time()

    def cut(self, *, posts: int, tokens: int, fill: float) -> None:
        """A micro-batch was closed; `fill` is the share of its budget that it used, 0 to 1."""
        self.batch_posts.observe(posts)
        self.batch_tokens.observe(tokens)
        self.batch_fill.observe(min(fill, 1.0))

    def waiting(self, stage: Stage, batches: int) -> None:
        """So many batches wait before `stage`."""
        self.queue_depth.labels(stage).set(batches)

    def stored(self, batch: LabelledBatch, written: Written) -> None:
        """A batch's transaction is committed: counts what it wrote, and how long that took."""
        if written.fenced:
            self.fenced_batches.inc()
        if written.repeated:
            self.repeated_commits.inc()
        for partition, outcomes in written.outcomes.items():
            self.records_consumed.labels(partition.topic).inc(sum(outcomes.values()))
            for outcome, records in outcomes.items():
                self.posts.labels(outcome).inc(records)
        now = self._wall()
        places = {(partition.topic, partition.number) for partition in written.outcomes}
        for entry in batch.entries:
            if (entry.record.ref.topic, entry.record.ref.partition) not in places:
                continue
            if isinstance(entry.decoded, Rejection):
                self.dead_letters.labels(entry.decoded.reason).inc()
            if entry.record.timestamp_ms >= 0:
                # Producers set these timestamps, and their clocks may be ahead.
                self.end_to_end.observe(max(0.0, now - entry.record.timestamp_ms / 1_000))

    def lag(
        self, topic: str, partition: int, *, records: int, oldest_ms: int | None = None
    ) -> None:
        """How far a partition of ours is behind; `oldest_ms`: the oldest unstored record's time.

        Without `oldest_ms`, as when the records were not fetched yet, the seconds stay as they
        were, unless no record is behind.
        """
        self.lag_records.labels(topic, partition).set(max(0, records))
        if records <= 0:
            self.lag_seconds.labels(topic, partition).set(0)
        elif oldest_ms is not None and oldest_ms >= 0:
            behind = max(0.0, self._wall() - oldest_ms / 1_000)
            self.lag_seconds.labels(topic, partition).set(behind)

    def watermarked(self, topic: str, partition: int, watermark: datetime) -> None:
        """A partition's stored watermark."""
        self.watermark.labels(topic, partition).set(watermark.timestamp())

    def forget(self, topic: str, partition: int) -> None:
        """A partition is no longer ours: what we last knew of it would be read as its state.

        Its counters stay. They are this process's history, and one that vanishes between two
        scrapes takes its last events with it.
        """
        for gauge in (self.lag_records, self.lag_seconds, self.watermark):
            gauge.remove(topic, partition)

    def moved(self, topic: str, partition: int, kind: Move, lost: int = 0) -> None:
        """A log was not as its stored position expects; `lost` offsets are passed over."""
        self.log_moves.labels(topic, kind).inc()
        if lost > 0:
            self.lost_records.labels(topic, partition).inc(lost)

    def rebalanced(self, times: int = 1) -> None:
        """The group gave us partitions."""
        self.rebalances.inc(times)

    def tripped(self, topic: str) -> None:
        """The circuit breaker stops the worker."""
        self.breaker_trips.labels(topic).inc()

    def not_mirrored(self, records: int = 1) -> None:
        """Dead letters did not reach their topic."""
        self.dead_letter_mirror_failures.inc(records)

    def stalled(self, what: str) -> None:
        """A stage, or `partition`, has begun to stand still."""
        self.stalls.labels(what).inc()

    def up(self, stages: Mapping[str, bool], dependencies: Mapping[str, bool]) -> None:
        """Which stages move and which dependencies answer; `/metrics` asks at each scrape."""
        for stage, moves in stages.items():
            self.stage_up.labels(stage).set(moves)
        for dependency, answers in dependencies.items():
            self.dependency_up.labels(dependency).set(answers)

    def _begin_at_zero(self) -> None:
        for outcome in OUTCOMES:
            self.posts.labels(outcome)
        for reason in (*REASONS, MODEL_FAILED):
            self.dead_letters.labels(reason)
        for stage in STAGES:
            self.stage_seconds.labels(stage)
            self.queue_depth.labels(stage)
        for what in (*STAGES, "partition", "join"):
            self.stalls.labels(what)

    def _counter(self, name: str, meaning: str, unit: str, labels: tuple[str, ...] = ()) -> Counter:
        return self._listed(Counter, name, meaning, unit, labels)

    def _gauge(self, name: str, meaning: str, unit: str, labels: tuple[str, ...]) -> Gauge:
        return self._listed(Gauge, name, meaning, unit, labels)

    def _histogram(
        self,
        name: str,
        meaning: str,
        unit: str,
        labels: tuple[str, ...],
        buckets: tuple[float, ...],
    ) -> Histogram:
        return self._listed(Histogram, name, meaning, unit, labels, buckets=buckets)

    def _info(self, name: str, meaning: str) -> Info:
        made = Info(PREFIX + name.removesuffix("_info"), meaning, registry=self.registry)
        labels = ("name", "version", "device")
        self.catalogue.append(Entry(PREFIX + name, "info", labels, "", meaning))
        return made

    def _listed(
        self,
        kind: type[M],
        name: str,
        meaning: str,
        unit: str,
        labels: tuple[str, ...],
        **rest: Any,  # noqa: ANN401
    ) -> M:
        self.catalogue.append(Entry(PREFIX + name, kind.__name__.lower(), labels, unit, meaning))
        # OpenMetrics knows a unit only where the name ends with it.
        named = unit if name.removesuffix("_total").endswith(f"_{unit}") else ""
        return kind(PREFIX + name, meaning, labels, unit=named, registry=self.registry, **rest)


def reference_table() -> str:
    """The catalogue as the reference page shows it, Markdown."""
    lines = ["| metric | type | unit | |", "|---|---|---|---|"]
    for entry in Metrics().catalogue:
        labels = f"{{{','.join(entry.labels)}}}" if entry.labels else ""
        lines.append(f"| `{entry.name}{labels}` | {entry.kind} | {entry.unit} | {entry.meaning} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(reference_table(), end="")
