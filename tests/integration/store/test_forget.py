"""What was forgotten is gone everywhere, and stays so whatever comes later, in whatever order."""

from __future__ import annotations

import threading
from dataclasses import replace
from itertools import permutations
from random import Random
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from tests.integration.store.writing import exact, write
from worker.batching import Item
from worker.errors import WorkerError
from worker.store.forget import forget
from worker.store.postgres import PostgresStore
from worker.store.session import Session

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.integration

KEY = "k" * 16


@pytest.fixture
def session(database_url: str) -> Iterator[Session]:
    with Session(database_url, name="forget", writes=True, author_key=KEY.encode()) as one:
        yield one


def by(author: str, item: Item) -> Item:
    return Item(item.record, replace(item.decoded, author_id=author))  # type: ignore[arg-type]


def everything(url: str) -> str:
    """All rows of all tables as text."""
    with psycopg.connect(url) as connection:
        names = connection.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace "
            "AND relkind IN ('r', 'p')"
        ).fetchall()
        return "\n".join(
            str(connection.execute(f'SELECT t::text FROM "{name}" t').fetchall())
            for (name,) in names
        )


LEDGER = (
    "SELECT sum(labelled)::int, sum(erased)::int, sum(dead_lettered)::int, sum(consumed)::int "
    "FROM stream_offsets"
)


def test_a_post_is_taken_out_and_does_not_come_back(
    stream: Callable[..., Any], session: Session, build: Any, rows: Any, database_url: str
) -> None:
    writer = stream()
    write(writer, 0, [build.post(0, 0, "a", tags=("x",)), build.post(0, 1, "b", tags=("x",))])
    done = forget(session, {("tw", "a")}, ())
    assert (done.posts, done.labels, done.remembered) == (1, 1, 1)
    assert exact(database_url)
    later = [
        build.post(0, 2, "a"),
        build.post(0, 3, "a", version=9, created=90_000),
        build.withdrawal(0, 4, "a"),
    ]
    write(writer, 0, later)
    assert rows("SELECT post_id FROM post_emotions") == [("b",)]
    assert rows("SELECT post_id FROM posts") == [("b",)]
    assert rows(LEDGER) == [(2, 3, 0, 5)]
    assert exact(database_url)
    again = forget(session, {("tw", "a")}, ())
    assert (again.posts, again.labels, again.remembered) == (0, 0, 0)


def test_a_post_that_was_never_seen_and_a_withdrawn_one(
    stream: Callable[..., Any], session: Session, build: Any, rows: Any
) -> None:
    writer = stream()
    write(writer, 0, [build.withdrawal(0, 0, "gone")])
    done = forget(session, {("tw", "new"), ("tw", "gone")}, ())
    assert (done.posts, done.labels, done.remembered) == (1, 0, 2)
    write(writer, 0, [build.post(0, 1, "new"), build.post(0, 2, "gone")])
    assert rows("SELECT count(*)::int FROM posts") == [(0,)]
    assert rows(LEDGER) == [(0, 2, 0, 3)]


def test_an_author_is_taken_out_and_does_not_come_back(
    stream: Callable[..., Any], session: Session, build: Any, rows: Any, database_url: str
) -> None:
    writer = stream(author_key=KEY)
    mine = [by("alice", build.post(0, n, f"a{n}", created=n * 90_000)) for n in range(3)]
    write(writer, 0, [*mine, by("bob", build.post(0, 3, "b"))])
    done = forget(session, (), {"alice"})
    assert (done.posts, done.labels, done.remembered) == (3, 3, 4)
    # An edit need not name its author, and a post may be one that we never saw.
    write(
        writer,
        0,
        [
            build.post(0, 4, "a1", version=5),
            by("alice", build.post(0, 5, "a9")),
            build.post(0, 6, "a9", version=5),
        ],
    )
    assert rows("SELECT post_id FROM post_emotions") == [("b",)]
    assert rows("SELECT post_id FROM posts") == [("b",)]
    assert rows(LEDGER) == [(4, 3, 0, 7)]
    assert exact(database_url)
    assert "alice" not in everything(database_url)


@pytest.mark.parametrize("order", list(permutations(range(4))))
@pytest.mark.parametrize("size", [1, 4])
def test_a_record_of_an_erased_author_erases_its_post_in_any_order(
    stream: Callable[..., Any],
    session: Session,
    build: Any,
    rows: Any,
    database_url: str,
    order: tuple[int, ...],
    size: int,
) -> None:
    forget(session, (), {"alice"})
    made: list[Callable[[int], Item]] = [
        lambda n: build.post(0, n, "a", tags=("x",)),
        lambda n: by("alice", build.post(0, n, "a")),
        lambda n: build.post(0, n, "a", version=7, created=90_000),
        lambda n: build.post(0, n, "b"),
    ]
    write(stream(author_key=KEY), 0, [made[kind](n) for n, kind in enumerate(order)], size)
    assert rows("SELECT post_id FROM posts") == [("b",)]
    assert rows("SELECT post_id FROM post_emotions") == [("b",)]
    assert exact(database_url)
    assert rows("SELECT sum(consumed)::int FROM stream_offsets") == [(4,)]


def test_writers_that_meet_over_an_erased_post_agree(
    stream: Callable[..., Any], session: Session, build: Any, rows: Any, database_url: str
) -> None:
    """One knows a post's author, the other does not: whoever comes first, the post is erased."""
    forget(session, (), {"alice"})
    count = 150
    writers = [stream(author_key=KEY), stream(author_key=KEY)]
    # Days are made ahead, so that the two meet over the posts alone.
    write(writers[0], 2, [build.post(2, 0, "first")])
    failed: list[BaseException] = []

    def run(number: int) -> None:
        try:
            order = list(range(count))
            Random(number).shuffle(order)
            items = [build.post(number, n, f"p{one}") for n, one in enumerate(order)]
            write(writers[number], number, [by("alice", i) for i in items] if number else items, 3)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert rows("SELECT post_id FROM posts") == [("first",)]
    assert rows("SELECT post_id FROM post_emotions") == [("first",)]
    assert rows("SELECT sum(consumed)::int FROM stream_offsets") == [(2 * count + 1,)]
    assert exact(database_url)


def test_it_runs_beside_writers(
    stream: Callable[..., Any], session: Session, build: Any, rows: Any, database_url: str
) -> None:
    count = 60
    writers = [stream(), stream()]
    failed: list[BaseException] = []

    def run(number: int) -> None:
        try:
            items = [build.post(number, n, f"p{n % 20}", version=n) for n in range(count)]
            write(writers[number], number, items, 2)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in (0, 1)]
    for thread in threads:
        thread.start()
    for n in range(10):
        forget(session, {("tw", f"p{n}")}, ())
    for thread in threads:
        thread.join()
    assert not failed
    left = {row[0] for row in rows("SELECT post_id FROM posts")}
    assert left == {f"p{n}" for n in range(10, 20)}
    assert exact(database_url)


def test_dead_letters_lose_their_bytes_those_before_and_those_after(
    stream: Callable[..., Any], session: Session, build: Any, rows: Any, database_url: str
) -> None:
    writer = stream(author_key=KEY)
    about = [
        b'{"id": "a", "platform": "tw", "text": 5}',
        b'{"id": "z", "author_id": "alice", "text": "canary',
        b'{"id": "z", "author_id": "bob", "text": "stays',
    ]
    write(writer, 0, [build.rejection(0, n, value) for n, value in enumerate(about)])
    done = forget(session, {("tw", "a")}, {"alice"})
    assert done.dead_letters == 2
    write(writer, 0, [build.rejection(0, 3 + n, value) for n, value in enumerate(about)])
    assert rows(
        "SELECT kafka_offset::int, value IS NULL, value_sha256 IS NULL, state "
        "FROM dead_letters ORDER BY 1"
    ) == [
        (0, True, True, "dropped"),
        (1, True, True, "dropped"),
        (2, False, False, "new"),
        (3, True, True, "dropped"),
        (4, True, True, "dropped"),
        (5, False, False, "new"),
    ]
    assert b"canary".hex() not in everything(database_url)


def test_a_worker_without_the_authors_key_ends_rather_than_bring_them_back(
    stream: Callable[..., Any], session: Session, build: Any, rows: Any, database_url: str
) -> None:
    running = stream()
    running.claim(0)
    (batch,) = running.batches(0, [build.post(0, 0, "a")], 10)
    forget(session, (), {"alice"})
    with pytest.raises(WorkerError, match="WORKER_AUTHOR_KEY"):
        running.store.write(batch)
    for key in (None, "another key of 16"):
        with pytest.raises(WorkerError, match="WORKER_AUTHOR_KEY"):
            PostgresStore(database_url, group="g", author_key=key).open()
    assert rows("SELECT count(*)::int FROM posts") == [(0,)]


@pytest.mark.parametrize("named", ["first", "stale", "tie", "withdrawal", "withdrawn"])
@pytest.mark.parametrize("size", [1, 10])
def test_an_author_whom_another_record_than_the_standing_one_named(
    stream: Callable[..., Any],
    session: Session,
    build: Any,
    rows: Any,
    database_url: str,
    named: str,
    size: int,
) -> None:
    """Forgotten before or after the records came: it is the same."""
    items = {
        "first": [by("alice", build.post(0, 0, "a")), build.post(0, 1, "a", version=5)],
        "stale": [build.post(0, 0, "a", version=5), by("alice", build.post(0, 1, "a"))],
        "tie": [build.post(0, 0, "a"), by("alice", build.post(0, 1, "a"))],
        "withdrawal": [build.post(0, 0, "a"), by("alice", build.withdrawal(0, 1, "a"))],
        "withdrawn": [build.withdrawal(0, 0, "a"), by("alice", build.post(0, 1, "a"))],
    }[named]
    write(stream(author_key=KEY), 0, items, size)
    assert forget(session, (), {"alice"}).posts == 1
    assert rows("SELECT count(*)::int FROM posts") == [(0,)]
    assert rows("SELECT count(*)::int FROM post_emotions") == [(0,)]
    assert exact(database_url)


def test_an_author_of_many_posts_is_forgotten_in_steps(
    stream: Callable[..., Any],
    session: Session,
    build: Any,
    rows: Any,
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("worker.store.forget.CHUNK", 7)
    items = [by("alice", build.post(0, n, f"p{n}")) for n in range(30)]
    write(stream(author_key=KEY), 0, [*items, by("bob", build.post(0, 30, "b"))])
    done = forget(session, (), {"alice"})
    assert (done.posts, done.labels) == (30, 30)
    assert rows("SELECT post_id FROM posts") == [("b",)]
    assert exact(database_url)


def test_a_label_without_its_identity_is_forgotten_too(
    stream: Callable[..., Any], session: Session, build: Any, rows: Any, database_url: str
) -> None:
    write(stream(), 0, [build.post(0, 0, "a")])
    rows("DELETE FROM posts RETURNING post_id")
    assert forget(session, {("tw", "a")}, ()).labels == 1
    assert exact(database_url)
