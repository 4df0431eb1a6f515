"""The short form of the chaos suite, and that its oracle is one to be judged by."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from random import Random
from uuid import UUID

import pytest

from tests.chaos.oracle import Produced, expect, read
from tests.chaos.stream import KINDS, Stream
from worker.posts import Post, Record, RecordRef, Rejection, Withdrawal
from worker.posts.decode import decode

ROOT = Path(__file__).parents[2]
SHORT = (
    *("worker killed", "worker frozen", "broker killed"),
    *("postgres killed", "answer lost", "writes refused"),
)


@pytest.fixture
def records() -> list[Produced]:
    """What one producer would have sent, with places of their own."""
    stream = Stream(Random(5), ["a", "b"], 3, day=datetime(2026, 3, 2, tzinfo=UTC))
    offsets: dict[tuple[str, int], int] = {}
    made = []
    for message in islice(stream, 4_000):
        place = (message.topic, message.partition)
        offsets[place] = offsets.get(place, -1) + 1
        made.append(
            Produced(
                message.topic,
                UUID(int=1),
                message.partition,
                offsets[place],
                message.timestamp_ms,
                message.key,
                message.value,
            )
        )
    return made


def test_the_oracle_reads_what_the_worker_reads(records: list[Produced]) -> None:
    """Two decoders that share nothing agree on each record of the stream."""
    kinds = set()
    for record in records:
        ref = RecordRef(record.topic, record.topic_id, record.partition, record.offset)
        theirs = decode(Record(ref, record.timestamp_ms, record.key, record.value))
        ours = read(record)
        kinds.add(type(theirs))
        match theirs:
            case Rejection():
                assert ours is None, (theirs, ours)
            case Withdrawal(_, platform, post_id, author):
                assert ours is not None
                assert (ours.version, ours.author) == (None, author)
                assert ours.identity == (platform, post_id)
            case Post():
                assert ours is not None
                assert ours.identity == (theirs.platform, theirs.post_id)
                assert (ours.version, ours.created_at) == (theirs.version, theirs.created_at)
                assert (ours.text, ours.lang) == (theirs.text, theirs.lang)
                assert (ours.author, ours.hashtags) == (theirs.author_id, theirs.hashtags)
    assert kinds == {Post, Withdrawal, Rejection}


def test_the_oracle_does_not_mind_the_order(records: list[Produced]) -> None:
    shuffled = list(records)
    Random(1).shuffle(shuffled)
    assert expect(shuffled, author_key=b"key") == expect(records, author_key=b"key")


def test_the_stream_holds_what_it_is_to_hold(records: list[Produced]) -> None:
    expected = expect(records, author_key=b"key")
    states = [row[0] for row in expected.posts.values()]
    assert min(states.count("live"), states.count("withdrawn"), len(expected.dead_letters)) > 50
    days = {row[0].date() for row in expected.labels.values()}  # type: ignore[attr-defined]
    assert len(days) == 2
    assert len(expected.posts) < 0.6 * len(records)
    assert {row[7] for row in expected.labels.values()} > {"uncertain", "unlabelled", "joy"}
    assert sum(KINDS.values()) == 100


@pytest.mark.integration
@pytest.mark.e2e
@pytest.mark.timeout(300)
def test_a_short_drill_ends_exactly_as_the_oracle_says(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    command = [sys.executable, "-m", "tests.chaos", "--seed", "4", "--faults-each", "1"]
    command += ["--faults", ",".join(SHORT), "--rate", "60", "--json", str(report)]
    done = subprocess.run(command, check=False, cwd=ROOT, capture_output=True, text=True)
    assert report.exists(), done.stdout + done.stderr
    told = json.loads(report.read_text())
    # How fast it recovered is for `make chaos` to judge, on a machine that does nothing else.
    assert (told["differences"], told["problems"]) == ([], []), done.stdout
    assert (told["lost"], told["counted_twice"]) == (0, 0)
    assert sum(fault["struck"] for name, fault in told["faults"].items() if name in SHORT) == len(
        SHORT
    ) - len(told["skipped"])
    assert told["records"] > 500
    assert told["answers_lost"] > 0
    assert told["warnings"].get("a commit had succeeded whose answer was lost", 0) > 0
