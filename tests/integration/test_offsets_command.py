"""`emotion-worker offsets set` and `retire` on a real broker and Postgres, without a worker."""

from __future__ import annotations

import secrets
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from click.testing import CliRunner, Result

from worker.cli import app
from worker.errors import DependencyError, SettingsError, WorkerError
from worker.settings import load_settings
from worker.source.lookup import offsets_at, topic_log

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.integration

STANDS = "SELECT kafka_partition, next_offset FROM stream_offsets ORDER BY 1"


@pytest.fixture
def offsets(
    kafka_bootstrap: str, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Result]:
    monkeypatch.setenv("WORKER_KAFKA_BOOTSTRAP_SERVERS", kafka_bootstrap)
    monkeypatch.setenv("WORKER_DATABASE_URL", database_url)
    monkeypatch.setenv("WORKER_GROUP", f"test-{secrets.token_hex(4)}")

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(app, ["offsets", *arguments])

    return run


@pytest.fixture
def query(database_url: str) -> Callable[[str], list[tuple[Any, ...]]]:
    def read(statement: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(database_url, autocommit=True) as connection:
            return connection.execute(statement).fetchall()

    return read


def _an_hour_ago() -> int:
    """In epoch milliseconds, whole seconds: retention leaves it alone."""
    return (int(time.time()) - 3_600) * 1_000


def test_to_the_ends_and_to_an_offset(
    offsets: Callable[..., Result],
    query: Callable[[str], Any],
    make_topic: Callable[..., str],
    produce: Callable[..., Any],
) -> None:
    topic = make_topic(partitions=2)
    produce(topic, [(b"k", b"v", number % 2, None) for number in range(9)])
    dry = offsets("set", "--topic", topic, "--to", "latest", "--dry-run")
    assert (dry.exit_code, "would be moved" in dry.stdout) == (0, True), dry.output
    assert query(STANDS) == []
    moved = offsets("set", "--topic", topic, "--to", "latest")
    assert moved.exit_code == 0, moved.output
    assert moved.stdout.splitlines()[-3:-1] == dry.stdout.splitlines()[-3:-1]
    assert query(STANDS) == [(0, 5), (1, 4)]
    assert offsets("set", "--topic", topic, "--partition", "0", "--to", "2").exit_code == 0
    assert query(STANDS) == [(0, 2), (1, 4)]
    back = offsets("set", "--topic", topic, "--to", "earliest")
    # Partition, from, to, passed over, read again.
    assert [line.split() for line in back.stdout.splitlines()[-3:-1]] == [
        [f"{topic}/0", "2", "0", "0", "2"],
        [f"{topic}/1", "4", "0", "0", "4"],
    ]
    assert query(STANDS) == [(0, 0), (1, 0)]


def test_a_time_is_that_of_the_first_record_not_older(
    offsets: Callable[..., Result],
    query: Callable[[str], Any],
    make_topic: Callable[..., str],
    produce: Callable[..., Any],
) -> None:
    """Also where the broker answers every such question with the start of the log."""
    topic = make_topic(partitions=3)
    begin = _an_hour_ago()
    # Not in order: 25 is the first not older than 20, though 10 follows.
    seconds = {0: [0, 5, 25, 10, 30], 1: [0, 1, 2]}
    produce(
        topic,
        [
            (b"k", b"v", partition, begin + 1_000 * second)
            for partition, some in seconds.items()
            for second in some
        ],
    )
    for second, stands in {
        20: [(0, 2), (1, 3), (2, 0)],
        25: [(0, 2), (1, 3), (2, 0)],
        25.0001: [(0, 4), (1, 3), (2, 0)],
        1: [(0, 1), (1, 1), (2, 0)],
        -1e9: [(0, 0), (1, 0), (2, 0)],
        1e9: [(0, 5), (1, 3), (2, 0)],
    }.items():
        target = datetime.fromtimestamp(begin / 1_000 + second, UTC).isoformat()
        moved = offsets("set", "--topic", topic, "--to", target)
        assert moved.exit_code == 0, moved.output
        assert query(STANDS) == stands, second


def test_a_long_search_says_how_far_it_is_and_ends_at_the_end(
    offsets: Callable[..., Result], make_topic: Callable[..., str], produce: Callable[..., Any]
) -> None:
    topic = make_topic(partitions=1)
    begin = _an_hour_ago()
    produce(topic, [(b"k", b"v", 0, begin + number) for number in range(12_000)])
    settings = load_settings()
    log = topic_log(settings, topic)
    assert log.bounds == {0: (0, 12_000)}
    steps: list[int] = []
    assert offsets_at(settings, log, [0], begin + 11_990, steps.append) == {0: 11_990}
    # A broker with an index by time leads there at once.
    assert sum(steps) in {0, 11_990}
    produce(topic, [(b"k", b"v", 0, begin + 20_000)])
    # What came after the log was looked at is not waited for, whatever its time.
    assert offsets_at(settings, log, [0], begin + 20_000) == {0: 12_000}


def test_what_does_not_fit_is_refused_with_the_fix(
    offsets: Callable[..., Result],
    query: Callable[[str], Any],
    make_topic: Callable[..., str],
    produce: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    topic = make_topic(partitions=2)
    produce(topic, [(b"k", b"v", 0, None)])

    def refused(*arguments: str) -> tuple[type[BaseException], str]:
        error = offsets(*arguments).exception
        assert error is not None
        return type(error), str(error)

    kind, words = refused("set", "--topic", topic, "--to", "1")
    assert kind is WorkerError
    assert f"{topic}/1 has 0 to 0" in words
    assert query(STANDS) == []
    kind, words = refused("set", "--topic", topic, "--partition", "7", "--to", "0")
    assert kind is SettingsError
    assert "0 to 1" in words
    kind, words = refused("set", "--topic", "no-such-topic", "--to", "latest")
    assert kind is WorkerError
    assert "no-such-topic" in words
    kind, words = refused("retire")
    assert kind is WorkerError
    assert "offsets show --all" in words
    assert refused("retire", "--partition", "0")[0] is SettingsError
    for target in ("2026-01-01", "2026-01-01T00:00:00", "soon", "-1"):
        assert offsets("set", "--topic", topic, "--to", target).exit_code == 2
    monkeypatch.setattr("worker.source.lookup._REACH_S", 0.1)
    monkeypatch.setenv("WORKER_KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:9")
    assert issubclass(refused("set", "--topic", topic, "--to", "latest")[0], DependencyError)


def test_a_group_given_up_holds_nothing_back(
    offsets: Callable[..., Result],
    query: Callable[[str], Any],
    make_topic: Callable[..., str],
    database_url: str,
) -> None:
    topic = make_topic(partitions=2)
    assert offsets("set", "--topic", topic, "--to", "earliest").exit_code == 0
    error = offsets("retire").exception
    assert isinstance(error, WorkerError)
    assert "--force" in str(error)
    retired = offsets("retire", "--topic", topic, "--force")
    assert (retired.exit_code, f"{topic}/1" in retired.stdout) == (0, True), retired.output
    assert query("SELECT count(*) FROM stream_offsets WHERE retired_at IS NULL") == [(0,)]
    again = offsets("retire", "--topic", topic)
    assert (again.exit_code, "all is retired" in again.stdout) == (0, True)
    assert "has no positions" in offsets("show").stdout
    assert "(retired)" in offsets("show", "--all").stdout
    # To move it says that it is to be read.
    assert offsets("set", "--topic", topic, "--to", "latest").exit_code == 0
    assert query("SELECT count(*) FROM stream_offsets WHERE retired_at IS NULL") == [(2,)]


def test_positions_of_another_log_of_that_name_are_said(
    offsets: Callable[..., Result],
    make_topic: Callable[..., str],
    database_url: str,
) -> None:
    topic = make_topic(partitions=1)
    assert offsets("set", "--topic", topic, "--to", "earliest").exit_code == 0
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("UPDATE stream_offsets SET topic_id = gen_random_uuid()")
    moved = offsets("set", "--topic", topic, "--to", "earliest")
    assert moved.exit_code == 0
    assert "another log" in moved.stderr
