"""Posts per second: the whole pipeline, the bare classifier, a one-by-one pipeline; and memory.

    python -m benchmarks.pipeline [--posts N] [--single N] [--model BUNDLE] [--json]

The posts are the demo's feed. The pipeline is a `run --drain` process against an embedded broker
and Postgres, timed from its first commit to its last, so that joining the group and loading the
model do not count. The classifier and the one-by-one pipeline run afterwards, on the same posts.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import psycopg
from rich.console import Console
from rich.table import Table

from worker.classifier import Text, load_classifier
from worker.local.feed import generate
from worker.local.services import LocalServices
from worker.posts import Post, Record, RecordRef
from worker.posts.decode import decode
from worker.settings import given_settings
from worker.source.admin import ensure_topic
from worker.source.producer import Producer
from worker.store import migrate

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from worker.local.feed import Feed
    from worker.settings import Settings

TOPIC = "posts"


@dataclass(frozen=True, slots=True)
class Memory:
    """Resident memory of the worker's process, MiB.

    Attributes:
        early: Once a quarter of the records was stored: model, buffers and caches stand by then.
        late: At the end.
    """

    early: float
    late: float


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--posts", type=int, default=6_000)
    parser.add_argument("--single", type=int, default=300, help="posts for the one-by-one pipeline")
    parser.add_argument("--model", default="builtin")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    options = parser.parse_args(arguments)
    console = Console(stderr=options.json)
    feed = generate(options.posts, seed=7, end=datetime.now(UTC))
    texts = list(_texts(feed))
    with LocalServices() as services:
        settings = given_settings(
            kafka_bootstrap_servers=services.bootstrap_servers,
            database_url=services.database_url,
            kafka_session_timeout_ms=2_000,
            topics=(TOPIC,),
            model=options.model,
            metrics_port=0,
        )
        console.print(f"publishing {len(feed.records)} records")
        _publish(settings, feed)
        console.print("running the pipeline")
        whole, memory = _pipeline(settings, len(feed.records))
    console.print("running the bare classifier")
    bare, info = _classifier(options.model, texts)
    console.print("running the one-by-one pipeline")
    single = _one_by_one(options.model, texts[: options.single])
    result: dict[str, Any] = {
        "model": info,
        "cores": len(os.sched_getaffinity(0)),
        "posts": len(texts),
        "pipeline_posts_per_second": round(whole, 1),
        "classifier_posts_per_second": round(bare, 1),
        "one_by_one_posts_per_second": None if single is None else round(single, 1),
        "memory_early_mib": round(memory.early, 1),
        "memory_late_mib": round(memory.late, 1),
    }
    if options.json:
        print(json.dumps(result))
    else:
        Console().print(_table(result))


def _table(result: dict[str, Any]) -> Table:
    table = Table(title=f"{result['posts']} posts, {result['model']}, {result['cores']} cores")
    table.add_column("")
    table.add_column("posts/s", justify="right")
    table.add_column("to the classifier", justify="right")
    bare = result["classifier_posts_per_second"]
    for name, key in (
        ("whole pipeline (Kafka to Postgres)", "pipeline_posts_per_second"),
        ("bare classifier, same posts", "classifier_posts_per_second"),
        ("Hugging Face pipeline, one by one", "one_by_one_posts_per_second"),
    ):
        speed = result[key]
        row = ("-", "-") if speed is None else (f"{speed:,.0f}", f"{speed / bare:.2f}")
        table.add_row(name, *row)
    early, late = result["memory_early_mib"], result["memory_late_mib"]
    table.caption = (
        f"memory: {early:,.0f} MiB after a quarter of the stream, {late:,.0f} MiB at its end "
        f"({late - early:+,.0f})"
    )
    return table


def _texts(feed: Feed) -> Iterable[Text]:
    for record in feed.records:
        ref = RecordRef(TOPIC, UUID(int=0), 0, 0)
        decoded = decode(Record(ref, record.timestamp_ms, record.key, record.value))
        if isinstance(decoded, Post):
            yield Text(decoded.text, decoded.lang)


def _publish(settings: Settings, feed: Feed) -> None:
    migrate.upgrade(settings.database)
    ensure_topic(settings, TOPIC, 6)
    with Producer(settings) as producer:
        for record in feed.records:
            producer.send(TOPIC, record.key, record.value, timestamp_ms=record.timestamp_ms)
        producer.flush()


def _pipeline(settings: Settings, records: int) -> tuple[float, Memory]:
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("WORKER_")},
        "WORKER_KAFKA_BOOTSTRAP_SERVERS": settings.kafka,
        "WORKER_DATABASE_URL": settings.database,
        "WORKER_KAFKA_SESSION_TIMEOUT_MS": str(settings.kafka_session_timeout_ms),
        "WORKER_TOPICS": TOPIC,
        "WORKER_MODEL": settings.model,
    }
    program = Path(sys.executable).with_name("emotion-worker")
    worker = subprocess.Popen([str(program), "run", "--drain"], env=environment)
    first: tuple[float, int] | None = None
    last = (0.0, 0)
    early = late = 0.0
    with psycopg.connect(settings.database, autocommit=True) as connection:
        while worker.poll() is None:
            row = connection.execute("SELECT sum(consumed)::int FROM stream_offsets").fetchone()
            now, done = time.monotonic(), (row[0] if row else None) or 0
            if done and first is None:
                first = (now, done)
            if done > last[1]:
                last = (now, done)
            late = _resident_mib(worker.pid) or late
            if not early and done >= records / 4:
                early = late
            time.sleep(0.02)
    if worker.returncode != 0 or first is None or last[1] < records:
        raise SystemExit(f"the pipeline ended with {worker.returncode} after {last[1]} records")
    return (last[1] - first[1]) / (last[0] - first[0]), Memory(early, late)


def _resident_mib(pid: int) -> float:
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def _classifier(model: str, texts: Sequence[Text]) -> tuple[float, str]:
    classifier = load_classifier(model)
    classifier.classify(texts[:8])
    started = time.monotonic()
    size = classifier.policy.posts
    for start in range(0, len(texts), size):
        classifier.classify(texts[start : start + size])
    seconds = time.monotonic() - started
    info = classifier.info
    return len(texts) / seconds, f"{info.name} {info.version} on {info.device}"


def _one_by_one(model: str, texts: Sequence[Text]) -> float | None:
    if model.startswith("stub"):
        return None
    from transformers import pipeline  # noqa: PLC0415 - seconds to import

    from worker.classifier.bundle import resolve_bundle  # noqa: PLC0415

    classify: Any = pipeline("text-classification", model=str(resolve_bundle(model)), top_k=None)
    classify(texts[0].text)
    started = time.monotonic()
    for text in texts:
        classify(text.text)
    return len(texts) / (time.monotonic() - started)


if __name__ == "__main__":
    main()
