"""Upkeep: what is past retention goes, and nothing else changes, beside whoever writes."""

from __future__ import annotations

import secrets
import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg import sql

from tests.integration.store.writing import exact, write
from worker.errors import WorkerError
from worker.store import maintain as maintain_module
from worker.store.forget import forget
from worker.store.locks import hold_upkeep, release_upkeep
from worker.store.maintain import Keep, Maintained, maintain
from worker.store.session import Session

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


pytestmark = pytest.mark.integration

DAY = 86_400
TRENDS = "SELECT * FROM emotion_trends ORDER BY 1, 2, 3, 4, 5"


@pytest.fixture
def session(database_url: str) -> Iterator[Session]:
    with Session(database_url, name="maintain") as one:
        yield one


def done(round_: Maintained | None) -> Maintained:
    assert round_ is not None
    return round_


def days(rows: Any) -> list[str]:
    return [
        row[0]
        for row in rows(
            "SELECT relname FROM pg_class WHERE relname ~ '^post_emotions_[0-9]{8}$' ORDER BY 1"
        )
    ]


def test_days_are_made_ahead_and_a_second_round_has_nothing_to_do(
    session: Session, rows: Any, noon: datetime
) -> None:
    made = done(maintain(session, Keep(), now=noon)).made
    assert [day.day for day in made] == [1, 2, 3, 4]
    assert days(rows) == [f"post_emotions_2026030{n}" for n in range(1, 5)]
    assert done(maintain(session, Keep(), now=noon)) == Maintained()


def test_past_retention_labels_go_with_their_identities_and_stay_gone(
    stream: Callable[..., Any],
    session: Session,
    build: Any,
    rows: Any,
    noon: datetime,
    database_url: str,
) -> None:
    writer = stream()
    items = [build.post(0, n, f"p{n}", created=-n * DAY, tags=("x",)) for n in range(6)]
    items += [
        build.withdrawal(0, 6, "gone"),
        build.post(0, 7, "odd", created=-900 * DAY),  # in the default partition
    ]
    write(writer, 0, items)
    before = rows(TRENDS)
    round_ = done(maintain(session, Keep(labels=timedelta(days=2)), now=noon))
    # Noon of the 1st: what lies below midnight of the 27th goes.
    assert [day.isoformat() for day in round_.dropped] == ["2026-02-24", "2026-02-25", "2026-02-26"]
    assert (round_.identities, round_.labels, round_.left) == (4, 1, [])
    assert rows("SELECT post_id FROM post_emotions ORDER BY 1") == [("p0",), ("p1",), ("p2",)]
    assert rows("SELECT post_id FROM posts ORDER BY 1") == [("gone",), ("p0",), ("p1",), ("p2",)]
    assert rows(TRENDS) == before  # trends outlive labels
    assert exact(database_url)

    # Again, edited, below the floor: expired. Withdrawn for good, whatever its age.
    write(
        writer,
        0,
        [
            build.post(0, 8, "p4", created=-4 * DAY),
            build.post(0, 9, "p4", created=-4 * DAY, version=9 * DAY),
            build.withdrawal(0, 10, "p5"),
            build.post(0, 11, "p5"),
            build.post(0, 12, "gone"),
        ],
    )
    assert rows(
        "SELECT expired::int, withdrawn::int, stale::int FROM stream_offsets "
        "WHERE kafka_partition = 0"
    ) == [(2, 2, 2)]
    assert rows(TRENDS) == before
    assert exact(database_url)
    # Longer retention later does not bring the floor down.
    maintain(session, Keep(labels=timedelta(days=90)), now=noon)
    assert rows("SELECT label_floor FROM policy") == [(datetime(2026, 2, 27, tzinfo=UTC),)]


def test_what_a_crash_left_undone_the_next_round_does(
    stream: Callable[..., Any],
    session: Session,
    build: Any,
    rows: Any,
    noon: datetime,
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    writer = stream()
    write(writer, 0, [build.post(0, n, f"p{n}", created=-n * DAY) for n in range(5)])

    def crash(*_: object, **__: object) -> int:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("worker.store.maintain._drop_identities_in", crash)
        with pytest.raises(KeyboardInterrupt):
            maintain(session, Keep(labels=timedelta(days=1)), now=noon)
    # The floor stands, a day is out of sight, its identities are there: posts go on all the same.
    assert exact(database_url)
    write(
        writer,
        0,
        [
            build.post(0, 5, "p4", version=5 * DAY),  # an edit with a date above the floor
            build.withdrawal(0, 6, "p3"),
            build.post(0, 7, "p2", created=-2 * DAY),
        ],
    )
    with Session(database_url, name="forget", writes=True) as forgetting:
        forget(forgetting, {("tw", "p4")}, ())
    assert exact(database_url)
    round_ = done(maintain(session, Keep(labels=timedelta(days=1)), now=noon))
    assert len(round_.dropped) == 3
    assert rows("SELECT post_id, state FROM posts ORDER BY 1") == [
        ("p0", "live"),
        ("p1", "live"),
        ("p3", "withdrawn"),
    ]
    assert exact(database_url)


def test_minute_cells_have_a_floor_of_their_own(
    stream: Callable[..., Any],
    session: Session,
    build: Any,
    rows: Any,
    noon: datetime,
    database_url: str,
) -> None:
    writer = stream()
    write(writer, 0, [build.post(0, n, f"p{n}", created=-n * DAY) for n in range(4)])
    round_ = done(maintain(session, Keep(minutes=timedelta(days=1)), now=noon))
    assert round_.minutes == 2 * 5  # two posts, five dimensions (the model's too)
    coarse = rows("SELECT sum(posts)::int FROM emotion_trends WHERE granularity = '1h'")
    assert coarse == [(16,)]
    write(writer, 0, [build.post(0, 4, "late", created=-3 * DAY), build.withdrawal(0, 5, "p3")])
    assert rows("SELECT min(bucket) FROM trend_cells WHERE granularity = '1m'") == [
        (noon - timedelta(days=1),)
    ]
    assert rows("SELECT count(*)::int FROM post_emotions") == [(4,)]
    assert exact(database_url)


def test_closed_slots_are_folded_beside_writers(
    stream: Callable[..., Any],
    session: Session,
    build: Any,
    rows: Any,
    noon: datetime,
    database_url: str,
) -> None:
    count = 40
    writers = [stream(), stream(), stream()]
    failed: list[BaseException] = []

    def run(number: int) -> None:
        try:
            items = [
                build.post(number, n, f"p{n}", version=n + number, created=-3 * DAY)
                for n in range(count)
            ]
            write(writers[number], number, items, 3)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    folded = 0
    while any(thread.is_alive() for thread in threads):
        folded += done(maintain(session, Keep(), now=noon)).folded
    for thread in threads:
        thread.join()
    assert not failed
    folded += done(maintain(session, Keep(), now=noon)).folded
    assert folded
    assert exact(database_url)
    assert rows("SELECT DISTINCT slot::int FROM trend_cells") == [(0,)]
    assert rows("SELECT count(*)::int FROM post_emotions") == [(count,)]


def test_dead_letters_go_by_their_age(
    stream: Callable[..., Any], session: Session, build: Any, rows: Any
) -> None:
    writer = stream()
    write(writer, 0, [build.rejection(0, n) for n in range(3)])
    rows(
        "UPDATE dead_letters SET created_at = now() - interval '31 days' "
        "WHERE kafka_offset < 2 RETURNING id"
    )
    keep = Keep(dead_letters=timedelta(days=30))
    assert done(maintain(session, keep, now=datetime.now(UTC))).dead_letters == 2
    assert rows("SELECT kafka_offset::int FROM dead_letters") == [(2,)]


def test_one_at_a_time_and_a_held_table_is_left_for_later(
    stream: Callable[..., Any],
    session: Session,
    build: Any,
    database_url: str,
    noon: datetime,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    writer = stream()
    write(writer, 0, [build.post(0, 0, "a"), build.post(0, 1, "old", created=-5 * DAY)])
    with psycopg.connect(database_url) as dump:
        dump.execute("SELECT count(*) FROM post_emotions")
        round_ = done(maintain(session, Keep(labels=timedelta(days=1)), now=noon))
        assert round_.dropped == []
        assert len(round_.left) >= 1
        assert "another session holds the table" in round_.left[0]
        assert exact(database_url)
    with Session(database_url, name="other") as other:
        assert other.run(hold_upkeep)
        assert maintain(session, Keep(), now=noon) is None
        other.run(release_upkeep)
    assert len(done(maintain(session, Keep(labels=timedelta(days=1)), now=noon)).dropped) == 1


def test_an_edit_over_the_floor_is_no_difference_while_its_old_day_is_not_dropped(
    stream: Callable[..., Any],
    session: Session,
    build: Any,
    rows: Any,
    noon: datetime,
    database_url: str,
) -> None:
    writer = stream()
    write(writer, 0, [build.post(0, 0, "a", created=-5 * DAY), build.post(0, 1, "b")])
    with psycopg.connect(database_url) as dump:
        dump.execute("SELECT count(*) FROM post_emotions")
        assert done(maintain(session, Keep(labels=timedelta(days=1)), now=noon)).left
    write(writer, 0, [build.post(0, 2, "a", version=6 * DAY)])
    assert rows("SELECT count(*)::int FROM post_emotions WHERE post_id = 'a'") == [(2,)]
    assert exact(database_url)
    # What is on its way out is forgotten as well, wherever it lies.
    with Session(database_url, name="forget", writes=True) as forgetting:
        assert forget(forgetting, {("tw", "a")}, ()).labels == 2
    assert exact(database_url)


def test_a_deadlock_while_identities_are_dropped_is_tried_again(
    stream: Callable[..., Any],
    session: Session,
    build: Any,
    rows: Any,
    noon: datetime,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("worker.store.maintain.CHUNK", 2)
    write(stream(), 0, [build.post(0, n, f"p{n}", created=-5 * DAY) for n in range(5)])
    real, calls = maintain_module._drop_identities, iter(range(100))

    def unlucky(*arguments: Any) -> int:
        if next(calls) in {0, 2}:
            raise psycopg.errors.DeadlockDetected
        return real(*arguments)

    monkeypatch.setattr(maintain_module, "_drop_identities", unlucky)
    round_ = done(maintain(session, Keep(labels=timedelta(days=1)), now=noon))
    assert (round_.identities, len(round_.dropped)) == (5, 1)
    assert rows("SELECT count(*)::int FROM posts") == [(0,)]


def test_a_role_that_owns_nothing_raises_no_floor_and_does_the_rest(
    stream: Callable[..., Any], build: Any, rows: Any, noon: datetime, database_url: str
) -> None:
    write(stream(), 0, [build.post(0, 0, "a", created=-5 * DAY), build.rejection(0, 1)])
    role = f"writer_{secrets.token_hex(4)}"
    with psycopg.connect(database_url, autocommit=True) as owner:
        name = sql.Identifier(role)
        owner.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'secret'").format(name))
        owner.execute(
            sql.SQL(
                "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {}"
            ).format(name)
        )
        owner.execute("UPDATE dead_letters SET created_at = now() - interval '90 days'")
        try:
            parts = urlsplit(database_url)
            url = parts._replace(netloc=f"{role}:secret@{parts.hostname}:{parts.port}").geturl()
            keep = Keep(labels=timedelta(days=1), dead_letters=timedelta(days=30))
            with Session(url, name="maintain") as session:
                round_ = done(maintain(session, keep, now=datetime.now(UTC)))
            assert round_.dead_letters == 1
            assert round_.folded
            assert "does not own post_emotions" in round_.left[0]
            assert rows("SELECT label_floor FROM policy") == [(None,)]
            owner.execute(sql.SQL("REVOKE SELECT ON policy FROM {}").format(name))
            with (
                Session(url, name="maintain") as session,
                pytest.raises(WorkerError, match="permission denied"),
            ):
                maintain(session, keep, now=noon)
            with (
                Session(url, name="forget", writes=True) as session,
                pytest.raises(WorkerError, match="Grant it"),
            ):
                forget(session, {("tw", "a")}, ())
        finally:
            owner.execute(sql.SQL("DROP OWNED BY {}").format(name))
            owner.execute(sql.SQL("DROP ROLE {}").format(name))
