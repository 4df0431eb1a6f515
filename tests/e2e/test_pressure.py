"""`run` under pressure: a database that is away or slow, a slow model, a topic of no posts."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import psycopg
import pytest
from kafka import KafkaConsumer, TopicPartition

from tests.e2e.conftest import SESSION_MS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = [pytest.mark.integration, pytest.mark.e2e]

CONSUMED = "SELECT coalesce(sum(consumed), 0)::int FROM stream_offsets"
EPOCHS = "SELECT kafka_partition, owner_epoch, owner_id FROM stream_offsets ORDER BY 1"
LETTERS = "SELECT count(*)::int FROM dead_letters"
MEBIBYTE = 1 << 20


def memory(process: Any) -> int:
    """Resident, bytes."""
    [line] = [
        line
        for line in Path(f"/proc/{process.pid}/status").read_text().splitlines()
        if line.startswith("VmRSS")
    ]
    return int(line.split()[1]) * 1024


@pytest.fixture
def admin(postgres_server: Any) -> Iterator[psycopg.Connection[Any]]:
    """A session beside the test's database: it stays where that one is away."""
    with psycopg.connect(postgres_server.url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def database(database_url: str, admin: psycopg.Connection[Any]) -> Iterator[Callable[[bool], None]]:
    """`database(False)` ends all its sessions and lets nobody in, `database(True)` does."""
    name = urlsplit(database_url).path.removeprefix("/")

    def allow(there: bool) -> None:
        admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS {str(there).lower()}")
        if not there:
            admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name]
            )

    yield allow
    allow(True)


def test_a_database_that_is_away_for_ten_seconds(
    command: Callable[..., Any],
    run: Callable[..., Any],
    database_url: str,
    database: Callable[[bool], None],
    eventually: Callable[..., None],
    make_topic: Callable[..., str],
    produce: Callable[..., Any],
    a_post: Callable[..., Any],
) -> None:
    def ask(sql: str) -> list[Any]:
        with psycopg.connect(database_url) as connection:
            return connection.execute(sql).fetchall()

    topic = make_topic(partitions=3)
    settings = {"WORKER_TOPICS": topic, "WORKER_BATCH_POSTS": "50"}
    worker = command("run", **settings)
    produce(topic, [a_post(number) for number in range(600)])
    eventually(lambda: ask(CONSUMED) == [(600,)])
    epochs, before = ask(EPOCHS), memory(worker)

    database(False)
    # Far more than the queues hold: all read, it would take 100 MiB.
    long = "so many words " * 900
    produce(topic, [a_post(number, text=f"{number} {long}") for number in range(600, 4_600)])
    time.sleep(2)
    early = memory(worker)
    time.sleep(8)
    late = memory(worker)
    grown = [round((now - before) / MEBIBYTE, 1) for now in (early, late)]
    print("MiB more after 2 s and 10 s:", grown)
    assert worker.poll() is None
    assert late - early < 4 * MEBIBYTE, grown
    assert late - before < 40 * MEBIBYTE, grown

    database(True)
    eventually(lambda: ask(CONSUMED) == [(4_600,)])
    assert ask(EPOCHS) == epochs, "it stayed a member, and nobody claimed anything again"
    log = worker.log.read_text()
    assert log.count("the database is away") == 1
    assert log.count("the database is back") == 1
    worker.terminate()
    assert worker.wait(15) == 0
    code, out, err = run("verify", **settings)
    assert code == 0, out + err


@pytest.mark.slow
@pytest.mark.parametrize("slow", ["model", "database"])
def test_a_slow_stage_costs_no_membership(
    command: Callable[..., Any],
    run: Callable[..., Any],
    query: Callable[..., Any],
    database_url: str,
    eventually: Callable[..., None],
    make_topic: Callable[..., str],
    produce: Callable[..., Any],
    a_post: Callable[..., Any],
    slow: str,
) -> None:
    """Each batch takes longer than the session may go without a sign of life."""
    topic = make_topic(partitions=4)
    session_ms = max(4_000, SESSION_MS)
    batch_s = 1.2 * session_ms / 1_000
    settings = {
        "WORKER_TOPICS": topic,
        "WORKER_BATCH_POSTS": "50",
        "WORKER_LINGER_MS": "200",
        "WORKER_KAFKA_SESSION_TIMEOUT_MS": str(session_ms),
    }
    if slow == "model":
        settings["WORKER_MODEL"] = f"stub:{1_000 * batch_s / 50:g}"
    workers = [command("run", **settings) for _ in range(2)]

    def both_own() -> bool:
        owners = Counter(owner for _, _, owner in query(EPOCHS))
        return None not in owners and sorted(owners.values()) == [2, 2]

    eventually(both_own)
    epochs = query(EPOCHS)
    produce(topic, [(*a_post(n)[:2], n % 4, None) for n in range(1_000)])
    eventually(lambda: query(CONSUMED)[0][0] > 0)
    began = time.monotonic()
    while time.monotonic() - began < 2 * batch_s:
        if slow == "database":
            with psycopg.connect(database_url) as session:
                session.execute("LOCK TABLE post_emotions IN ACCESS EXCLUSIVE MODE")
                time.sleep(batch_s)
        else:
            time.sleep(batch_s)
    assert query(EPOCHS) == epochs
    assert query(CONSUMED)[0][0] > 0
    for worker in workers:
        assert "stalled" not in worker.log.read_text()
        worker.kill()
    code, _, log = run("run", "--drain", **{**settings, "WORKER_MODEL": "stub"})
    assert code == 0, log
    assert query(CONSUMED) == [(1_000,)]


def test_a_topic_of_no_posts_stops_the_worker_and_collects_nothing(
    run: Callable[..., Any],
    query: Callable[..., Any],
    make_topic: Callable[..., str],
    produce: Callable[..., Any],
    a_post: Callable[..., Any],
) -> None:
    topic = make_topic(partitions=6)
    produce(topic, [(None, b"click,%d" % n, n % 6, None) for n in range(10_000)])
    for _ in range(2):
        code, _, log = run("run", WORKER_TOPICS=topic)
        assert code == 1
        assert all(
            words in log for words in (topic, "bad_json", "offsets set", "WORKER_BREAKER_SHARE=0")
        )
        assert "Traceback" not in log
        assert query(LETTERS) == [(0,)]
    assert query("SELECT count(*) > 0 FROM stream_offsets WHERE tripped_at IS NOT NULL")[0][0]

    # Passed over, as it says, the stream goes on; the mark is gone with the first batch.
    code, out, log = run("offsets", "set", "--topic", topic, "--to", "latest")
    assert code == 0, out + log
    produce(topic, [(*a_post(n)[:2], n % 6, None) for n in range(60)])
    code, _, log = run("run", "--drain", WORKER_TOPICS=topic)
    assert code == 0, log
    assert query("SELECT count(*) FROM post_emotions") == [(60,)]
    assert query("SELECT count(*) FROM stream_offsets WHERE tripped_at IS NOT NULL") == [(0,)]


def test_a_wrong_topic_that_trickles_collects_nothing_at_the_next_starts(
    run: Callable[..., Any],
    query: Callable[..., Any],
    make_topic: Callable[..., str],
    produce: Callable[..., Any],
) -> None:
    topic = make_topic(partitions=2)
    produce(topic, [(None, b"click", n % 2, None) for n in range(400)])
    code, _, _ = run("run", WORKER_TOPICS=topic)
    assert code == 1
    query("UPDATE stream_offsets SET next_offset = 200 RETURNING 1")  # as if most were passed over
    for _ in range(2):
        produce(topic, [(None, b"click", 0, None), (None, b"click", 1, None)])
        code, _, log = run("run", WORKER_TOPICS=topic)
        assert code == 1
        assert "stopped a worker before" in log
    assert query(LETTERS) == [(0,)]


def test_dead_letters_reach_their_topic_too(
    run: Callable[..., Any],
    query: Callable[..., Any],
    kafka_bootstrap: str,
    make_topic: Callable[..., str],
    produce: Callable[..., Any],
    a_post: Callable[..., Any],
) -> None:
    topic, letters = make_topic(partitions=1), make_topic(partitions=1)
    produce(topic, [a_post(n) for n in range(40)] + [(b"k", b"\xff no post", None, None)])
    code, _, log = run("run", "--drain", WORKER_TOPICS=topic, WORKER_DEAD_LETTER_TOPIC=letters)
    assert code == 0, log
    consumer = KafkaConsumer(bootstrap_servers=kafka_bootstrap.split(","))
    try:
        partition = TopicPartition(letters, 0)
        consumer.assign([partition])
        consumer.seek(partition, 0)
        found: list[Any] = []
        deadline = time.monotonic() + 20
        while not found and time.monotonic() < deadline:
            found = [one for page in consumer.poll(500).values() for one in page]
    finally:
        consumer.close()
    [letter] = found
    headers = {name: value.decode() for name, value in letter.headers}
    [(reason, detail, fingerprint)] = query("SELECT reason, detail, fingerprint FROM dead_letters")
    assert (letter.key, letter.value) == (b"k", b"\xff no post")
    assert headers == {
        "reason": reason,
        "detail": detail,
        "fingerprint": fingerprint,
        "topic": topic,
        "partition": "0",
        "offset": "40",
    }


def test_a_dead_letter_topic_that_does_not_exist_stops_nothing(
    run: Callable[..., Any],
    query: Callable[..., Any],
    make_topic: Callable[..., str],
    produce: Callable[..., Any],
    a_post: Callable[..., Any],
) -> None:
    topic = make_topic(partitions=1)
    produce(topic, [a_post(n) for n in range(40)] + [(b"k", b"no post", None, None)])
    code, _, log = run("run", "--drain", WORKER_TOPICS=topic, WORKER_DEAD_LETTER_TOPIC="nowhere")
    assert code == 0, log
    assert query(LETTERS) == [(1,)]
    code, _, log = run("run", "--drain", WORKER_TOPICS=topic, WORKER_DEAD_LETTER_TOPIC=topic)
    assert (code, "WORKER_DEAD_LETTER_TOPIC" in log) == (2, True)
