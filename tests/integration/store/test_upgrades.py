"""Migrations of later versions, beside workers that know none of them."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from tests.fakes.migrations import EXPANSION, Later
from worker.errors import DependencyError, SchemaError, WorkerError
from worker.store import migrate, steps
from worker.store.interface import Claim
from worker.store.maintain import Keep, maintain
from worker.store.preflight import look
from worker.store.revision import check_database, connect_migrated, newest
from worker.store.session import Session
from worker.store.verify import verify

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from pathlib import Path

pytestmark = pytest.mark.integration

SPACE, SLOTS = 1701670772, 100
NOTED = "SELECT revision, oldest FROM schema_revisions ORDER BY 1"
COUNT = "SELECT count(*)::int FROM post_emotions"
AT = "SELECT next_offset FROM stream_offsets"


@pytest.fixture
def later(tmp_path: Path) -> Later:
    return Later(tmp_path)


@pytest.fixture
def writer(stream: Callable[..., Any]) -> Any:
    """A worker of this version, on one partition."""
    one = stream()
    one.claim(0, siblings=1)
    return one


@pytest.fixture
def write(build: Any) -> Callable[..., None]:
    """Writes the records `first` to `last`, edits among them, three a transaction."""

    def write(writer: Any, first: int, last: int) -> None:
        writer.claim(0, siblings=1)
        items = [build.post(0, n, f"p{max(0, n - n % 10)}", version=n) for n in range(first, last)]
        for batch in writer.batches(0, items, 3):
            written = writer.store.write(batch)
            assert not written.fenced

    return write


def differences(url: str) -> tuple[Any, ...]:
    with psycopg.connect(url) as connection:
        return verify(connection).differences


def test_a_worker_goes_on_through_expansions(
    writer: Any,
    write: Callable[..., None],
    stream: Callable[..., Any],
    rows: Callable[..., Any],
    later: Later,
    database_url: str,
    noon: datetime,
) -> None:
    # Often enough that the server keeps plans of its statements, which the new columns outdate.
    write(writer, 0, 60)
    wide, index = later.expand(), later.index()
    done = migrate.upgrade(database_url, scripts=later.folder)
    assert (done.before, done.after, done.ended) == (newest(), index, False)
    write(writer, 60, 90)
    # One that begins now as well, and what else a worker does.
    other = stream()
    write(other, 90, 120)
    with Session(database_url, name="test") as session:
        done_there = maintain(session, Keep(None, None, None), now=noon)
    assert done_there is not None
    connect_migrated(database_url, application_name="test").close()
    assert [finding.good for finding in look(database_url)] == [True] * 4
    assert f"schema at {index}; this worker knows" in look(database_url)[-1].what
    assert rows(AT) == [(120,)]
    assert rows(COUNT) == [(12,)]
    assert differences(database_url) == ()
    assert rows(NOTED) == [(newest(), "0004"), (wide, "0004"), (index, "0004")]
    migrate.downgrade(database_url, newest(), scripts=later.folder)
    assert rows(NOTED) == [(newest(), "0004")]
    write(writer, 120, 150)
    assert differences(database_url) == ()


@pytest.mark.parametrize("up", [None, "SELECT pg_advisory_xact_lock(1701670772, 1)"])
def test_a_running_worker_ends_at_a_contraction_with_the_reason(
    writer: Any,
    write: Callable[..., None],
    build: Any,
    rows: Callable[..., Any],
    later: Later,
    database_url: str,
    up: str | None,
) -> None:
    """Also at one that changes what rows mean, and nothing that a statement would trip over."""
    write(writer, 0, 30)
    wide = later.expand()
    gone = later.contract() if up is None else later.contract(up=up, down="SELECT 1")
    done = migrate.upgrade(database_url, scripts=later.folder, force=True)
    assert (done.after, done.oldest, done.ended) == (gone, wide, True)
    (batch,) = writer.batches(0, [build.post(0, 30, "late")], 10)
    claim = writer.claims[0]
    place = claim.partition
    (span,) = batch.spans
    calls: tuple[Callable[[], Any], ...] = (
        lambda: writer.store.write(batch),
        lambda: writer.store.claim(place, 1, "again"),
        lambda: writer.store.settle(Claim(place, claim.epoch, 30), 31),
        lambda: writer.store.heartbeat([span]),
        lambda: writer.store.trip([claim]),
    )
    for meets in calls:
        with pytest.raises(SchemaError, match=f"is at {gone} and asks .* that know {wide}; .* run"):
            meets()
    assert rows("SELECT next_offset, owner_epoch FROM stream_offsets") == [(30, claim.epoch)]
    with pytest.raises(SchemaError, match=f"that know {wide}"):
        Session(database_url, name="test").run(lambda _: None)
    with pytest.raises(SchemaError, match=f"that know {wide}"):
        check_database(database_url)
    assert look(database_url)[-1].good is False
    # The way back, and nothing was lost by it.
    migrate.downgrade(database_url, newest(), scripts=later.folder)
    write(writer, 30, 60)
    assert differences(database_url) == ()


def test_writers_wait_for_a_contraction_that_is_under_way(
    writer: Any, write: Callable[..., None], build: Any, later: Later, database_url: str
) -> None:
    write(writer, 0, 3)
    later.expand()
    later.contract(
        up="SELECT pg_advisory_xact_lock(1701670772, 1); SELECT pg_sleep(1)", down="SELECT 1"
    )
    held = threading.Event()
    failed: list[BaseException] = []

    def contract() -> None:
        held.set()
        try:
            migrate.upgrade(database_url, scripts=later.folder, force=True)
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=contract)
    thread.start()
    held.wait(5)

    items = [build.post(0, n, f"p{n % 100}", version=n) for n in range(3, 9_000)]
    writer.claim(0, siblings=1)
    batches = writer.batches(0, items, 3)

    def until_it_ends() -> None:
        for batch in batches:
            writer.store.write(batch)

    with pytest.raises(SchemaError, match="asks for workers"):
        until_it_ends()
    thread.join(30)
    assert failed == []


def test_a_contraction_waits_for_the_workers_that_it_would_end(
    writer: Any, rows: Callable[..., Any], later: Later, database_url: str
) -> None:
    later.expand()
    gone = later.contract()
    said: list[str] = []
    with pytest.raises(WorkerError, match=rf"{gone} would end .*sessions: 1\), and they still run"):
        migrate.upgrade(database_url, scripts=later.folder, wait_s=0.3, say=said.append)
    assert len(said) == 1
    assert migrate.current(database_url) == newest(), "nothing was begun"
    threading.Timer(0.5, writer.close).start()
    assert migrate.upgrade(database_url, scripts=later.folder).after == gone


def test_a_contraction_does_not_wait_for_workers_that_know_what_it_asks_for(
    writer: Any, later: Later, database_url: str
) -> None:
    gone = later.contract(oldest=newest())
    assert migrate.upgrade(database_url, scripts=later.folder, wait_s=0).after == gone
    writer.claim(0)


def test_workers_of_before_these_locks_are_seen_too(later: Later, database_url: str) -> None:
    later.contract(oldest=newest())
    with psycopg.connect(database_url, autocommit=True) as old:
        old.execute("SELECT pg_advisory_lock(%s, %s)", (SPACE, SLOTS + 3))
        with pytest.raises(WorkerError, match="sessions: 1"):
            migrate.upgrade(database_url, scripts=later.folder, wait_s=0)
        assert migrate.upgrade(database_url, scripts=later.folder, wait_s=0, force=True).ended


def test_a_long_transaction_holds_the_migration_up_and_nobody_else(
    writer: Any,
    write: Callable[..., None],
    rows: Callable[..., Any],
    later: Later,
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As a dump does. Without a lock timeout, writers would wait until its end."""
    monkeypatch.setattr(steps, "LOCK_TIMEOUT_S", 0.2)
    monkeypatch.setattr(migrate, "_PAUSE_S", (0.2, 0.4))
    wide = later.expand(EXPANSION)
    write(writer, 0, 3)
    dump = psycopg.connect(database_url, application_name="pg_dump")
    dump.execute("SELECT count(*) FROM posts")
    with pytest.raises(
        DependencyError, match=r"pg_dump, idle in transaction.*holds tables.*--wait"
    ):
        migrate.upgrade(database_url, scripts=later.folder, wait_s=0.5)
    assert migrate.current(database_url) == newest()
    said: list[str] = []
    done: list[migrate.Migrated] = []

    def run() -> None:
        done.append(migrate.upgrade(database_url, scripts=later.folder, say=said.append))

    thread = threading.Thread(target=run)
    thread.start()
    slowest, offset, until = 0.0, 3, time.monotonic() + 1.5
    while time.monotonic() < until:
        began = time.monotonic()
        write(writer, offset, offset + 3)
        slowest, offset = max(slowest, time.monotonic() - began), offset + 3
    assert done == []
    dump.close()
    thread.join(30)
    assert [one.after for one in done] == [wide]
    assert any("pg_dump" in one and "trying again" in one for one in said)
    assert slowest < 1.0, "behind the lock timeout, not behind the dump"
    write(writer, offset, offset + 3)
    assert differences(database_url) == ()


def test_one_that_waits_for_ever_lends_that_to_no_other(later: Later, database_url: str) -> None:
    later.index()
    patient = "DO $$ BEGIN ASSERT current_setting('lock_timeout') = '2s'; END $$"
    last = later.expand(patient, "SELECT 1")
    assert migrate.upgrade(database_url, scripts=later.folder).after == last


def test_an_index_is_built_beside_another_migrate(
    writer: Any, write: Callable[..., None], later: Later, database_url: str
) -> None:
    """A `migrate` that waited inside the server would be waited for by the index: a deadlock."""
    write(writer, 0, 30)
    later.expand()
    last = later.index()
    with psycopg.connect(database_url) as holder:
        # An open transaction that has written: the build has to wait for it, the others for that.
        holder.execute("LOCK TABLE posts IN ROW EXCLUSIVE MODE")
        results: list[Any] = []

        def run() -> None:
            try:
                results.append(migrate.upgrade(database_url, scripts=later.folder).after)
            except BaseException as error:
                results.append(error)

        threads = [threading.Thread(target=run) for _ in range(3)]
        for thread in threads:
            thread.start()
        time.sleep(0.5)
    for thread in threads:
        thread.join(60)
    assert results == [last] * 3


def test_one_migrate_gives_up_waiting_for_another(
    later: Later, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with psycopg.connect(database_url) as holder:
        holder.execute("SELECT pg_advisory_lock(%s)", (migrate._LOCK,))
        said: list[str] = []
        with pytest.raises(DependencyError, match="Another `emotion-worker migrate`"):
            migrate.upgrade(database_url, wait_s=0.3, say=said.append)
        assert said == ["another migrate is at work: waiting for it"]


def test_migrate_of_a_version_before_leaves_a_later_schema_alone(
    later: Later, database_url: str
) -> None:
    """So that going back to an older image is one step, where each start migrates."""
    wide = later.expand()
    migrate.upgrade(database_url, scripts=later.folder)
    assert migrate.pending(database_url) == []
    done = migrate.upgrade(database_url)
    assert (done.before, done.after) == (wide, wide)
    gone = later.contract()
    migrate.upgrade(database_url, scripts=later.folder)
    with pytest.raises(SchemaError, match=f"is at {gone} and asks for workers that know {wide}"):
        migrate.upgrade(database_url)
    assert migrate.current(database_url) == gone


def test_what_is_pending_is_said(later: Later, database_url: str) -> None:
    wide = later.expand()
    gone = later.contract()
    assert [str(step) for step in migrate.pending(database_url, later.folder)] == [
        f"{wide} expand: A later expand",
        f"{gone} contract: A later contract (workers must know {wide})",
    ]


def test_a_worker_newer_than_the_schema_says_migrate(database_url: str) -> None:
    migrate.downgrade(database_url, "0004")
    calls: tuple[Callable[[], Any], ...] = (
        lambda: check_database(database_url),
        lambda: Session(database_url, name="test", writes=True).run(lambda _: None),
    )
    for refused in calls:
        with pytest.raises(SchemaError, match=r"is at 0004, .* run `emotion-worker migrate`"):
            refused()
    finding = look(database_url)[-1]
    assert (finding.good, "emotion-worker migrate" in finding.what) == (False, True)
    migrate.upgrade(database_url)
    check_database(database_url)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE alembic_version SET version_num = 'f00dface'",
        "INSERT INTO alembic_version VALUES ('f00dface')",
        # A fork: it says that little is asked for, and was not made from what we know.
        (
            "WITH noted AS (UPDATE schema_revisions SET revision = '0005b') "
            "UPDATE alembic_version SET version_num = '0005b'"
        ),
    ],
)
def test_a_schema_of_another_line_is_refused(database_url: str, change: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(change)
    with pytest.raises(SchemaError, match=r"this worker does not know.*WORKER_DATABASE_URL"):
        check_database(database_url)
    with pytest.raises(SchemaError, match="does not know"):
        migrate.upgrade(database_url)


def test_a_schema_changed_by_hand_is_said_to_be(writer: Any, database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("ALTER TABLE stream_offsets RENAME COLUMN owner_id TO owner_name")
    with pytest.raises(SchemaError, match=f"at {newest()}, and yet .*owner_id.* by hand"):
        writer.claim(0)
