from __future__ import annotations

import gzip
import json
import re
import time
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from click.testing import CliRunner
from kafka import KafkaConsumer, TopicPartition

from worker.commands.publish import command
from worker.errors import SettingsError
from worker.posts import Post, Record, RecordRef
from worker.posts.decode import decode
from worker.posts.files import RowError

if TYPE_CHECKING:
    from collections.abc import Callable

    from click.testing import Result

pytestmark = pytest.mark.integration

AIRLINE = Path(__file__).parents[4] / "shared" / "data" / "airline" / "tweets.csv"
POST = {"id": "1", "text": "hello", "created_at": 1_424_806_552}


@pytest.fixture
def publish(kafka_bootstrap: str) -> Callable[..., Result]:
    def run(*arguments: object, **options: Any) -> Result:
        return CliRunner().invoke(
            command,
            [str(argument) for argument in arguments],
            env={"WORKER_KAFKA_BOOTSTRAP_SERVERS": kafka_bootstrap},
            **options,
        )

    return run


@pytest.fixture
def records(kafka_bootstrap: str) -> Callable[[str], list[Any]]:
    def read(topic: str) -> list[Any]:
        consumer = KafkaConsumer(
            bootstrap_servers=kafka_bootstrap.split(","), max_poll_records=5_000
        )
        try:
            partitions = [TopicPartition(topic, n) for n in consumer.partitions_for_topic(topic)]
            consumer.assign(partitions)
            consumer.seek_to_beginning(*partitions)
            ends = consumer.end_offsets(partitions)
            found: list[Any] = []
            deadline = time.monotonic() + 30
            while any(consumer.position(at) < end for at, end in ends.items()):
                assert time.monotonic() < deadline
                for batch in consumer.poll(timeout_ms=200).values():
                    found += batch
            return found
        finally:
            consumer.close()

    return read


def lines(path: Path, *posts: object) -> Path:
    path.write_text("".join(json.dumps(post) + "\n" for post in posts))
    return path


@pytest.mark.skipif(not AIRLINE.exists(), reason=f"{AIRLINE} is not on this machine")
def test_the_airline_tweets(
    publish: Callable[..., Result],
    records: Callable[[str], list[Any]],
    make_topic: Callable[..., str],
) -> None:
    topic = make_topic(partitions=6)
    maps = ["id=tweet_id", "platform=airline", "created_at=tweet_created", "author_id=author"]
    result = publish(AIRLINE, "--topic", topic, *(f"--map={pair}" for pair in maps))
    assert result.exit_code == 0, result.output
    assert re.fullmatch(rf"published 14640 posts to {topic} in [\d.]+ s \(\d+/s\)\n", result.stdout)
    assert result.stderr == ""
    found = records(topic)
    assert len(found) == 14_640
    partitions_by_key = defaultdict(set)
    posts = []
    for record in found:
        partitions_by_key[record.key].add(record.partition)
        ref = RecordRef(topic, UUID(int=0), record.partition, record.offset)
        post = decode(Record(ref, record.timestamp, record.key, record.value))
        assert isinstance(post, Post)
        assert record.key == f"{post.platform}:{post.post_id}".encode()
        posts.append(post)
    assert len(partitions_by_key) == 14_485
    assert all(len(partitions) == 1 for partitions in partitions_by_key.values())
    assert {record.partition for record in found} == set(range(6))
    assert min(post.created_at for post in posts).date().isoformat() == "2015-02-17"
    assert max(post.created_at for post in posts).date().isoformat() == "2015-02-24"
    assert {post.platform for post in posts} == {
        "American", "Delta", "Southwest", "US Airways", "United", "Virgin America",
    }  # fmt: skip


def test_several_files_and_standard_input(
    publish: Callable[..., Result],
    records: Callable[[str], list[Any]],
    make_topic: Callable[..., str],
    tmp_path: Path,
) -> None:
    topic = make_topic(partitions=2)
    plain = lines(tmp_path / "a.jsonl", POST, POST | {"id": "2", "platform": "x"})
    packed = tmp_path / "b.csv.gz"
    packed.write_bytes(gzip.compress(b"id,text,created_at\n3,hi,2015-02-24 11:35:52\n"))
    arguments = [plain, packed, "-", "--topic", topic, "--timezone", "UTC"]
    result = publish(*arguments, input='{"id": "1", "deleted": true}\n')
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith(f"published 4 posts to {topic} in ")
    found = {(record.key.decode(), record.value) for record in records(topic)}
    assert found == {
        (f"{topic}:1", json.dumps(POST).encode()),
        ("x:2", json.dumps(POST | {"id": "2", "platform": "x"}).encode()),
        (f"{topic}:3", b'{"id":"3","text":"hi","created_at":"2015-02-24T11:35:52Z"}'),
        (f"{topic}:1", b'{"id": "1", "deleted": true}'),
    }


def test_it_stops_at_a_bad_row_or_leaves_it_out(
    publish: Callable[..., Result],
    records: Callable[[str], list[Any]],
    make_topic: Callable[..., str],
    tmp_path: Path,
) -> None:
    topic = make_topic(partitions=1)
    bad = [POST, POST | {"id": ""}, POST | {"id": "3"}, POST | {"text": 5}]
    path = lines(tmp_path / "a.jsonl", *bad)
    result = publish(path, "--topic", topic)
    assert isinstance(result.exception, RowError)
    assert str(result.exception) == (
        f"{path}:2: `id` must have 1 to 256 characters.\n"
        f"Before that, 1 posts were published to {topic}."
    )
    assert [record.key for record in records(topic)] == [f"{topic}:1".encode()]
    result = publish(path, "--topic", topic, "--skip-bad")
    assert result.exit_code == 0
    assert result.stdout.startswith(f"published 2 posts to {topic} in ")
    assert result.stderr == (
        f"left out 2 bad rows; the first: {path}:2: `id` must have 1 to 256 characters.\n"
    )
    assert [record.key.decode() for record in records(topic)[1:]] == [f"{topic}:1", f"{topic}:3"]


def test_nothing_is_sent_where_a_column_is_wrong(
    publish: Callable[..., Result],
    records: Callable[[str], list[Any]],
    make_topic: Callable[..., str],
    tmp_path: Path,
) -> None:
    topic = make_topic(partitions=1)
    good = lines(tmp_path / "a.jsonl", POST)
    (tmp_path / "b.csv").write_text("n,text\n1,x\n")
    result = publish(good, tmp_path / "b.csv", "--topic", topic)
    assert isinstance(result.exception, SettingsError)
    assert "are: n, text." in str(result.exception)
    assert records(topic) == []


def test_a_topic_is_made_when_missing_and_left_alone_when_there(
    publish: Callable[..., Result],
    records: Callable[[str], list[Any]],
    make_topic: Callable[..., str],
    kafka_admin: Any,
    tmp_path: Path,
) -> None:
    topic = f"{make_topic(partitions=1)}-new"
    path = lines(tmp_path / "a.jsonl", POST)
    result = publish(path, "--topic", topic, "--partitions", 3)
    assert result.exit_code == 0
    assert f"made the topic {topic} with 3 partitions" in result.stderr
    try:
        assert publish(path, "--topic", topic, "--partitions", 5).exit_code == 0
        assert len(records(topic)) == 2
        (description,) = kafka_admin.describe_topics([topic])
        assert len(description["partitions"]) == 3
    finally:
        kafka_admin.delete_topics([topic])


def test_the_rate_is_kept(
    publish: Callable[..., Result], make_topic: Callable[..., str], tmp_path: Path
) -> None:
    topic = make_topic(partitions=1)
    path = lines(tmp_path / "a.jsonl", *(POST | {"id": str(n)} for n in range(41)))
    began = time.monotonic()
    result = publish(path, "--topic", topic, "--rate", 40)
    assert result.exit_code == 0
    assert 1.0 <= time.monotonic() - began < 5.0
    seconds = float(result.stdout.split(" in ")[1].split()[0])
    assert 1.0 <= seconds < 3.0


@pytest.mark.parametrize(
    ("option", "problem"),
    [
        ("--map=id", "`id` is not FIELD=COLUMN"),
        ("--map==x", "`=x` is not FIELD=COLUMN"),
        ("--set=lang=", "`lang=` is not FIELD=VALUE"),
        ("--timezone=Mars", "is no time zone"),
        ("--timezone=../UTC", "is no time zone"),
        ("--rate=0", "0"),
    ],
)
def test_wrong_usage(option: str, problem: str, tmp_path: Path) -> None:
    result = CliRunner().invoke(command, [str(lines(tmp_path / "a.jsonl")), "--topic=t", option])
    assert result.exit_code == 2
    assert problem in result.stderr


def test_a_field_is_mapped_once(tmp_path: Path) -> None:
    arguments = [str(lines(tmp_path / "a.jsonl")), "--topic=t", "--map=id=a", "--map=id=b"]
    result = CliRunner().invoke(command, arguments)
    assert result.exit_code == 2
    assert "`id` is given twice" in result.stderr
