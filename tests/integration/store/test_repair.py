"""`verify --repair`: every kind of damage is mended exactly, beside writers."""

from __future__ import annotations

import hmac
import threading
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from worker.errors import WorkerError
from worker.posts import LABELS
from worker.store import repair as repair_module
from worker.store.connection import connect
from worker.store.locks import hold_repair
from worker.store.repair import KINDS, rebuild, repair
from worker.store.session import Session
from worker.store.verify import verify
from worker.trends import EMOTIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from worker.store.repair import Repaired
    from worker.store.verify import Verified

pytestmark = pytest.mark.integration

DAY = 86_400
COLUMNS = (*EMOTIONS, *(f"{label}_score" for label in LABELS))
ZEROS = ", ".join("0" for _ in COLUMNS)
CELLS = f"""
SELECT granularity, dimension, value, bucket, {", ".join(f"sum({n})::bigint" for n in COLUMNS)}
FROM trend_cells
GROUP BY 1, 2, 3, 4
HAVING ({", ".join(f"sum({name})" for name in COLUMNS)}) <> ({ZEROS})
ORDER BY 1, 2, 3, 4
"""


@pytest.fixture
def mended(database_url: str) -> Callable[[], Repaired]:
    def run() -> Repaired:
        with Session(database_url, name="test repair", writes=True) as session:
            return repair(database_url, session)

    return run


@pytest.fixture
def found(database_url: str) -> Callable[[], Verified]:
    def look() -> Verified:
        with connect(database_url, application_name="test") as connection:
            return verify(connection)

    return look


@pytest.fixture
def damage(database_url: str) -> Iterator[Callable[..., None]]:
    """Changes what it should not: `damage("DELETE ...", ...)`, in one transaction."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("SET TimeZone TO 'UTC'")

        def do(*statements: str) -> None:
            with connection.transaction():
                for statement in statements:
                    connection.execute(statement)

        yield do


def write(writer: Any, number: int, items: list[Any], size: int = 100) -> list[Any]:
    return [writer.store.write(batch) for batch in writer.batches(number, items, size)]


def counted(repaired: Repaired) -> dict[str, int]:
    return {
        kind: count
        for kind in KINDS
        if (count := sum(counts[kind] for counts in repaired.days.values()))
    }


def test_what_is_exact_is_left_alone(
    stream: Callable[..., Any], build: Any, rows: Callable[..., Any], mended: Callable[..., Any]
) -> None:
    writer = stream()
    writer.claim(0)
    write(writer, 0, [build.post(0, 0, "a"), build.withdrawal(0, 1, "b")])
    before = rows("TABLE trend_cells"), rows("TABLE posts"), rows("TABLE post_emotions")
    repaired = mended()
    assert (repaired.days, repaired.lost) == ({}, [])
    assert (rows("TABLE trend_cells"), rows("TABLE posts"), rows("TABLE post_emotions")) == before


def test_cells_of_every_granularity_and_day_are_mended(
    stream: Callable[..., Any],
    build: Any,
    rows: Callable[..., Any],
    damage: Callable[..., None],
    mended: Callable[[], Repaired],
    found: Callable[[], Verified],
) -> None:
    writer = stream()
    writer.claim(0)
    items = [
        build.post(0, n, f"p{n}", created=(n % 3) * DAY + n, tags=("x",) if n % 2 else ())
        for n in range(30)
    ]
    write(writer, 0, items)
    before = rows(CELLS)
    damage(
        "UPDATE trend_cells SET joy = joy + 3, fear_score = -5 WHERE granularity = '1h'",
        "DELETE FROM trend_cells WHERE dimension = 'hashtag'",
        # Of nothing that was ever said; and in a slot that no writer has.
        "INSERT INTO trend_cells SELECT '1m', 'topic', 'ghost', bucket, 99, "
        + ", ".join("7" for _ in COLUMNS)
        + " FROM trend_cells WHERE granularity = '1d' AND dimension = 'all'",
    )
    assert {one.invariant for one in found().differences} == {"cells"}
    repaired = mended()
    assert found().differences == ()
    assert rows(CELLS) == before
    assert sorted(repaired.days) == [date(2026, 3, day) for day in (1, 2, 3)]
    assert set(counted(repaired)) == {"cells corrected"}
    assert mended().days == {}


def test_below_the_floors_nothing_is_mended(
    stream: Callable[..., Any],
    build: Any,
    rows: Callable[..., Any],
    damage: Callable[..., None],
    mended: Callable[[], Repaired],
    found: Callable[[], Verified],
    noon: datetime,
) -> None:
    writer = stream()
    writer.claim(0)
    write(writer, 0, [build.post(0, n, f"p{n}", created=n * DAY) for n in range(3)])
    damage(
        f"UPDATE policy SET label_floor = '{noon + timedelta(hours=12)}', "
        f"minute_floor = '{noon + timedelta(hours=36)}'",
        "UPDATE trend_cells SET joy = joy + 1",
    )
    (dimensions,) = rows("SELECT count(DISTINCT dimension) FROM trend_cells")[0]
    repaired = mended()
    # Of the second day hours and days only, of the third all.
    assert {day: dict(counts) for day, counts in repaired.days.items()} == {
        date(2026, 3, 2): {"cells corrected": 2 * dimensions},
        date(2026, 3, 3): {"cells corrected": 3 * dimensions},
    }
    assert found().differences == ()


def test_a_floor_that_rises_while_a_repair_is_at_work_is_respected(
    stream: Callable[..., Any],
    build: Any,
    rows: Callable[..., Any],
    damage: Callable[..., None],
    mended: Callable[[], Repaired],
    noon: datetime,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    writer = stream()
    writer.claim(0)
    write(writer, 0, [build.post(0, 0, "a")])
    damage("UPDATE trend_cells SET joy = joy + 1")
    before = rows("TABLE trend_cells")
    real = repair_module._correct

    def late(*arguments: Any, **options: Any) -> Any:
        damage(f"UPDATE policy SET label_floor = '{noon + timedelta(days=9)}'")
        return real(*arguments, **options)

    monkeypatch.setattr(repair_module, "_correct", late)
    assert counted(mended()) == {}
    assert rows("TABLE trend_cells") == before


def test_a_label_without_an_identity_gets_one_and_its_post_counts_once_again(
    stream: Callable[..., Any],
    build: Any,
    rows: Callable[..., Any],
    damage: Callable[..., None],
    mended: Callable[[], Repaired],
    found: Callable[[], Verified],
) -> None:
    writer = stream()
    writer.claim(0)
    items = [build.post(0, n, f"p{n}", created=n) for n in range(3)]
    write(writer, 0, items)
    identities = rows("SELECT * FROM posts ORDER BY post_id")
    damage("DELETE FROM posts WHERE post_id <> 'p0'")
    # What damage does to a worker: the post is taken for a new one, and its label is in the way.
    other = stream()
    other.claim(1)
    again = other.batches(1, [build.post(1, 0, "p1", created=1)], 10)[0]
    with pytest.raises(WorkerError):
        other.store.write(again)
    assert counted(mended()) == {"identities made": 2}
    assert found().differences == ()
    assert rows("SELECT * FROM posts ORDER BY post_id") == identities
    (outcomes,) = other.store.write(again).outcomes.values()
    assert outcomes == {"duplicates": 1}
    assert found().differences == ()


def test_where_a_topic_had_two_logs_the_identity_does_not_say_which(
    stream: Callable[..., Any],
    build: Any,
    rows: Callable[..., Any],
    damage: Callable[..., None],
    mended: Callable[[], Repaired],
) -> None:
    writer = stream()
    writer.claim(0)
    write(writer, 0, [build.post(0, 0, "a")])
    damage(
        "INSERT INTO stream_offsets (consumer_group, topic, topic_id, kafka_partition) "
        f"VALUES ('old', 'posts', '{UUID(int=3)}', 0)",
        "DELETE FROM posts",
    )
    mended()
    assert rows("SELECT topic_id, version = created_at, generation FROM posts") == [
        (UUID(int=0), True, 0)
    ]


def test_an_identity_made_again_names_its_author(
    stream: Callable[..., Any],
    build: Any,
    rows: Callable[..., Any],
    damage: Callable[..., None],
    mended: Callable[[], Repaired],
) -> None:
    writer = stream(author_key="key")
    writer.claim(0)
    named = build.post(0, 0, "a")
    named = replace(named, decoded=replace(named.decoded, author_id="ann"))
    write(writer, 0, [named, build.post(0, 1, "b")])
    identities = rows("SELECT post_id, author_hash FROM posts ORDER BY post_id")
    assert identities[0][1] is not None
    damage("DELETE FROM posts")
    mended()
    assert rows("SELECT post_id, author_hash FROM posts ORDER BY post_id") == identities


def test_labels_where_no_live_identity_says_are_removed(
    stream: Callable[..., Any],
    build: Any,
    rows: Callable[..., Any],
    damage: Callable[..., None],
    mended: Callable[[], Repaired],
    found: Callable[[], Verified],
) -> None:
    writer = stream()
    writer.claim(0)
    write(writer, 0, [build.post(0, n, f"p{n}", created=n * DAY) for n in range(4)])
    expected = rows("SELECT post_id, created_at FROM post_emotions WHERE post_id IN ('p2', 'p3')")
    damage(
        # Withdrawn, but its label and its cells stand.
        "UPDATE posts SET state = 'withdrawn', version = NULL, created_at = NULL "
        "WHERE post_id = 'p1'",
        # A second label of one post; without an identity two labels, of which the later counts.
        "CREATE TEMP TABLE copy AS SELECT * FROM post_emotions WHERE post_id IN ('p2', 'p3')",
        "UPDATE copy SET created_at = created_at - interval '1 hour'",
        "INSERT INTO post_emotions SELECT * FROM copy",
        "DELETE FROM posts WHERE post_id = 'p3'",
        # Its label is elsewhere than it says: what it says is not to be had, so it goes, too.
        "UPDATE posts SET created_at = created_at + interval '1 hour' WHERE post_id = 'p0'",
    )
    repaired = mended()
    assert found().differences == ()
    done = counted(repaired)
    assert done.pop("cells corrected") > 0
    assert done == {"identities made": 1, "labels removed": 4, "identities removed": 1}
    assert repaired.lost == ["tw:p0"]
    assert rows("SELECT post_id, created_at FROM post_emotions ORDER BY 1") == sorted(expected)
    assert rows("SELECT post_id, state FROM posts ORDER BY 1") == [
        ("p1", "withdrawn"),
        ("p2", "live"),
        ("p3", "live"),
    ]


def test_what_was_erased_is_not_brought_back(
    stream: Callable[..., Any],
    build: Any,
    rows: Callable[..., Any],
    damage: Callable[..., None],
    mended: Callable[[], Repaired],
    found: Callable[[], Verified],
) -> None:
    writer = stream()
    writer.claim(0)
    write(writer, 0, [build.post(0, n, f"p{n}") for n in range(3)])
    (secret,) = rows("SELECT erasure_key FROM policy")[0]
    post, author = hmac.digest(secret, b"tw:p0", "sha256").hex(), "ab" * 32
    damage(
        "INSERT INTO erasures (kind, hash) "
        f"VALUES ('post', '\\x{post}'), ('author', '\\x{author}')",
        f"UPDATE post_emotions SET author_hash = '{author}' WHERE post_id = 'p1'",
        "DELETE FROM posts",
    )
    done = counted(mended())
    assert (done["identities made"], done["labels removed"]) == (1, 2)
    assert rows("SELECT post_id FROM post_emotions") == [("p2",)]
    assert rows("SELECT post_id FROM posts") == [("p2",)]
    assert found().differences == ()


def test_a_live_post_without_a_label_is_said_and_comes_back_when_it_is_read_again(
    stream: Callable[..., Any],
    build: Any,
    rows: Callable[..., Any],
    damage: Callable[..., None],
    mended: Callable[[], Repaired],
    found: Callable[[], Verified],
) -> None:
    writer = stream()
    writer.claim(0)
    items = [build.post(0, n, f"p{n}", version=n) for n in range(3)]
    write(writer, 0, items)
    before = rows(CELLS)
    damage("DELETE FROM post_emotions WHERE post_id = 'p1'")
    repaired = mended()
    assert repaired.lost == ["tw:p1"]
    assert found().differences == ()
    damage("UPDATE stream_offsets SET next_offset = 0 WHERE kafka_partition = 0")
    writer.claim(0)
    (written,) = write(writer, 0, items)
    assert next(iter(written.outcomes.values())) == {"labelled": 1, "duplicates": 2}
    assert rows(CELLS) == before
    assert found().differences == ()


def test_a_ledger_is_left_as_it_is(
    stream: Callable[..., Any],
    build: Any,
    damage: Callable[..., None],
    mended: Callable[[], Repaired],
    found: Callable[[], Verified],
) -> None:
    writer = stream()
    writer.claim(0)
    write(writer, 0, [build.post(0, 0, "a")])
    damage(
        "ALTER TABLE stream_offsets DROP CONSTRAINT stream_offsets_ledger",
        "UPDATE stream_offsets SET consumed = consumed + 1 WHERE kafka_partition = 0",
        "UPDATE trend_cells SET joy = joy + 1",
    )
    mended()
    assert [one.invariant for one in found().differences] == ["ledger"]


def test_two_repairs_do_not_run_at_once(mended: Callable[[], Repaired], database_url: str) -> None:
    with connect(database_url, application_name="test", autocommit=True) as other:
        assert hold_repair(other)
        with pytest.raises(WorkerError, match="Another"):
            mended()
    assert mended().days == {}


def test_beside_writers_every_kind_of_damage_is_mended(
    stream: Callable[..., Any],
    build: Any,
    rows: Callable[..., Any],
    damage: Callable[..., None],
    mended: Callable[[], Repaired],
    found: Callable[[], Verified],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Small transactions on both sides, so that they meet; the writers never stop meanwhile."""
    monkeypatch.setattr(repair_module, "CELLS_AT_ONCE", 20)
    monkeypatch.setattr(repair_module, "IDENTITIES_AT_ONCE", 3)
    seeds = stream()
    seeds.claim(2)
    seeded = [
        build.post(2, n, f"s{n}", created=(n % 5) * DAY + 60 * n, tags=("x", f"t{n % 7}"))
        for n in range(60)
    ]
    write(seeds, 2, seeded)
    errors: list[BaseException] = []
    stopping = threading.Event()
    written = [0, 0]

    def work(number: int) -> None:
        try:
            writer = stream()
            writer.claim(number)
            # Posts of their own, and edits of those seeded posts whose rows stay sound.
            items = [
                build.post(
                    number,
                    n,
                    f"w{number}-{n // 2}" if n % 3 else f"s{40 + n % 20}",
                    version=n,
                    created=(n % 5) * DAY + 60 * n,
                    tags=("x",),
                )
                for n in range(3_000)
            ]
            for batch in writer.batches(number, items, 10):
                if stopping.is_set():
                    return
                writer.store.write(batch)
                written[number] += 10
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in (0, 1)]
    for thread in threads:
        thread.start()
    try:
        done: dict[str, int] = {}
        begun = 0
        for turn in range(4):
            own = [f"'s{n}'" for n in range(10 * turn, 10 * turn + 10)]
            damage(
                "UPDATE trend_cells SET anger = anger + 2, love_score = love_score - 9 "
                f"WHERE dimension = 'hashtag' OR extract(day FROM bucket) = {1 + turn}",
                f"DELETE FROM posts WHERE post_id IN ({', '.join(own[:3])})",
                f"DELETE FROM post_emotions WHERE post_id IN ({', '.join(own[3:6])})",
                "UPDATE posts SET state = 'withdrawn', version = NULL, created_at = NULL "
                f"WHERE post_id IN ({', '.join(own[6:9])})",
            )
            before = sum(written)
            for kind, count in counted(mended()).items():
                done[kind] = done.get(kind, 0) + count
            begun += sum(written) > before
        assert begun == 4, "no writer was at work beside the repair"
    finally:
        stopping.set()
        for thread in threads:
            thread.join(30)
    assert errors == []
    assert found().differences == ()
    assert done.pop("cells corrected") > 100
    assert done == {"identities made": 12, "identities removed": 12, "labels removed": 12}
    assert rows("SELECT count(*) FROM posts WHERE post_id LIKE 's%' AND state = 'live'") == [(36,)]


cell_damage = st.lists(
    st.tuples(
        st.sampled_from(["add", "remove", "ghost"]),
        st.integers(0, 10**6),
        st.sampled_from(COLUMNS),
        st.integers(-(10**12), 10**12),
    ),
    min_size=1,
    max_size=8,
)


@pytest.fixture
def sound(
    stream: Callable[..., Any], build: Any, rows: Callable[..., Any]
) -> list[tuple[Any, ...]]:
    """A database with some posts; what its cells are."""
    writer = stream()
    writer.claim(0)
    write(
        writer,
        0,
        [build.post(0, n, f"p{n}", created=n * DAY // 3, tags=("x",)) for n in range(6)],
    )
    cells: list[tuple[Any, ...]] = rows(CELLS)
    return cells


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(changes=cell_damage)
def test_whatever_cells_are_damaged_is_mended_exactly(
    changes: list[tuple[str, int, str, int]],
    sound: list[tuple[Any, ...]],
    rows: Callable[..., Any],
    damage: Callable[..., None],
    mended: Callable[[], Repaired],
) -> None:
    for what, pick, column, amount in changes:
        one = (
            "(ctid, tableoid) = (SELECT ctid, tableoid FROM trend_cells ORDER BY tableoid, ctid "
            f"LIMIT 1 OFFSET {pick} % (SELECT count(*) FROM trend_cells))"
        )
        if what == "add":
            damage(f"UPDATE trend_cells SET {column} = {column} + {amount} WHERE {one}")
        elif what == "remove":
            damage(f"DELETE FROM trend_cells WHERE {one}")
        else:
            damage(
                f"INSERT INTO trend_cells SELECT granularity, dimension, '{pick % 3}', bucket, "
                f"{pick % 17}, {', '.join(str(amount) for _ in COLUMNS)} FROM trend_cells "
                f"WHERE {one} ON CONFLICT DO NOTHING"
            )
    mended()
    assert rows(CELLS) == sound


@pytest.mark.parametrize(
    ("since", "until", "mended_days"),
    [
        (None, None, {0, 1, 2, 40}),
        ("2026-03-02T18:00:00+00:00", None, {1, 2, 40}),
        (None, "2026-03-02T00:00:00+00:00", {0}),
        ("2026-03-02T05:00:00+00:00", "2026-03-02T06:00:00+00:00", {1}),
        ("2026-05-01T00:00:00+00:00", None, set()),
    ],
)
def test_trends_are_made_again_day_by_day(
    stream: Callable[..., Any],
    build: Any,
    damage: Callable[..., None],
    database_url: str,
    found: Callable[[], Verified],
    since: str | None,
    until: str | None,
    mended_days: set[int],
) -> None:
    writer = stream()
    writer.claim(0)
    days = (0, 1, 2, 40)
    write(writer, 0, [build.post(0, n, f"p{n}", created=day * DAY) for n, day in enumerate(days)])
    damage("DELETE FROM trend_cells WHERE dimension = 'platform'")
    first = date(2026, 3, 1)
    told: list[date] = []
    with Session(database_url, name="test rebuild", writes=True) as session:
        done = rebuild(
            database_url,
            session,
            since=None if since is None else datetime.fromisoformat(since),
            until=None if until is None else datetime.fromisoformat(until),
            advance=told.append,
        )
    assert {(day - first).days for day in done.days} == mended_days
    assert told == sorted(told)
    assert (found().differences == ()) == (len(mended_days) == len(days))
