"""A dead letter's whole life: retried after a fix, exactly once; dropped; forgotten."""

from __future__ import annotations

import json
import threading
from collections import Counter
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from worker.classifier.stub import StubClassifier
from worker.errors import WorkerError
from worker.pipeline.labelling import label_items
from worker.pipeline.retry import Retry
from worker.store import dead_letters
from worker.store.connection import connect
from worker.store.dead_letters import Selection
from worker.store.forget import forget
from worker.store.session import Session
from worker.store.verify import verify

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.integration


def good(post_id: str, text: str = "what a day") -> bytes:
    """What is a post by now: the decoder that refused it was mended since."""
    return json.dumps(
        {"id": post_id, "platform": "tw", "text": text, "created_at": "2026-03-01T12:00:00Z"}
    ).encode()


@pytest.fixture
def session(database_url: str) -> Iterator[Session]:
    with Session(database_url, name="letters") as one:
        yield one


@pytest.fixture
def retry(stream: Callable[..., Any]) -> Callable[..., Retry]:
    def make(**options: Any) -> Retry:
        writer = stream(**options)
        return Retry(
            writer.store,
            lambda items: label_items(StubClassifier(), items),
            model_id=writer.model_id,
            owner="test",
        )

    return make


@pytest.fixture
def reject(stream: Callable[..., Any], build: Any) -> Callable[..., Any]:
    def write(*values: bytes | None) -> Any:
        writer = stream()
        writer.claim(0)
        items = [build.rejection(0, offset, value) for offset, value in enumerate(values)]
        for batch in writer.batches(0, items, 100):
            writer.store.write(batch)
        return writer

    return write


LEDGER = (
    "SELECT topic, next_offset::int, consumed::int, labelled::int, duplicates::int, "
    "dead_lettered::int, erased::int FROM stream_offsets WHERE consumed > 0 ORDER BY topic"
)
STATES = "SELECT state, attempts FROM dead_letters ORDER BY id"


def letters(session: Session, **chosen: Any) -> list[dead_letters.Letter]:
    return dead_letters.page(session, Selection(**chosen), after=0, limit=100)


def test_what_is_a_post_by_now_counts_once_and_the_rest_stays(
    reject: Any, retry: Any, session: Session, rows: Any, database_url: str
) -> None:
    reject(good("a"), b"{", good("a"), good("b"))
    retried = retry().turn(letters(session))
    assert retried.outcomes == Counter(labelled=2, duplicates=1, dead_lettered=1)
    assert rows("SELECT post_id, kafka_offset::int FROM post_emotions ORDER BY 1") == [
        ("a", 0),
        ("b", 3),
    ]
    assert rows(STATES) == [("retried", 1), ("new", 1), ("retried", 1), ("retried", 1)]
    assert rows(LEDGER) == [("@retry", 4, 4, 2, 1, 1, 0), ("posts", 4, 4, 0, 0, 4, 0)]
    # It has the reason that it is rejected for now.
    assert [letter.reason for letter in letters(session)] == ["bad_json"]
    assert letters(session)[0].detail != "No JSON."
    assert retry().turn(letters(session)).outcomes == Counter(dead_lettered=1)
    with connect(database_url, application_name="test") as connection:
        assert not verify(connection).differences


def test_a_newer_version_that_came_meanwhile_stands(
    reject: Any, retry: Any, session: Session, rows: Any, build: Any
) -> None:
    writer = reject(good("a"))
    (batch,) = writer.batches(0, [build.post(0, 1, "a", version=60)], 10)
    span = batch.spans[0]
    writer.claim(0)
    (batch,) = writer.batches(0, [build.post(0, 1, "a", version=60)], 10)
    assert span.start == 0
    writer.store.write(batch)
    assert retry().turn(letters(session)).outcomes == Counter(stale=1)
    assert rows("SELECT kafka_offset::int FROM post_emotions") == [(1,)]


def test_a_crash_before_the_commit_changes_nothing(
    reject: Any, retry: Any, session: Session, rows: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    reject(good("a"))
    one = retry()

    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("worker.store.writer._advance", crash)
        with pytest.raises(KeyboardInterrupt):
            one.turn(letters(session))
    assert rows(STATES) == [("new", 0)]
    assert rows("SELECT count(*)::int FROM posts") == [(0,)]
    assert one.turn(letters(session)).outcomes == Counter(labelled=1)


def test_two_retries_at_once_count_each_letter_once(
    reject: Any, retry: Any, session: Session, rows: Any, database_url: str
) -> None:
    reject(*(good(f"p{n}") for n in range(100)))
    found = letters(session)
    done, refused = Counter[str](), []
    runs = [retry(), retry()]

    def run(one: Retry) -> None:
        try:
            for start in range(0, 100, 10):
                done.update(one.turn(found[start : start + 10]).outcomes)
        except WorkerError as error:
            refused.append(str(error))

    threads = [threading.Thread(target=run, args=(one,)) for one in runs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert done == Counter(labelled=100)
    assert len(refused) == 1
    assert "Another `dead-letters retry`" in refused[0]
    assert rows("SELECT count(*)::int FROM dead_letters WHERE state = 'retried'") == [(100,)]
    assert rows("SELECT consumed::int FROM stream_offsets WHERE topic = '@retry'") == [(100,)]
    with connect(database_url, application_name="test") as connection:
        assert not verify(connection).differences


def test_one_that_another_hand_dropped_meanwhile_is_left_alone(
    reject: Any, retry: Any, session: Session, rows: Any
) -> None:
    reject(good("a"), good("b"))
    found = letters(session)
    assert dead_letters.drop(session, Selection(ids=(found[0].id,))) == 1
    retried = retry().turn(found)
    assert (retried.outcomes, retried.settled) == (Counter(labelled=1), 1)
    assert rows(STATES) == [("dropped", 0), ("retried", 1)]


def test_one_that_was_forgotten_meanwhile_is_not_resurrected(
    reject: Any, retry: Any, session: Session, rows: Any, database_url: str
) -> None:
    reject(good("a"), good("b"))
    found = letters(session)
    with Session(database_url, name="forget", writes=True) as forgetting:
        forget(forgetting, {("tw", "a")}, ())
    retried = retry().turn(found)
    assert (retried.outcomes, retried.settled) == (Counter(labelled=1), 1)
    assert rows("SELECT post_id FROM posts") == [("b",)]
    assert rows("SELECT count(*)::int FROM dead_letters WHERE value IS NULL") == [(1,)]


def test_what_was_too_long_to_keep_is_passed_over(
    reject: Any, retry: Any, session: Session, rows: Any
) -> None:
    reject(b"x" * (2**20 + 1), None)
    retried = retry().turn(letters(session))
    assert (retried.outcomes, retried.without_bytes) == (Counter(dead_lettered=1), 1)
    assert rows(STATES) == [("new", 0), ("new", 1)]
    (group,) = dead_letters.groups(session, Selection(reason="bad_json"))
    assert (group.count, group.without_bytes) == (1, 1)


def test_groups_and_choices(reject: Any, session: Session) -> None:
    reject(b"{", b"{", b"[")
    (group,) = dead_letters.groups(session, Selection())
    assert (group.reason, group.count, group.topics) == ("bad_json", 3, ("posts",))
    assert group.oldest <= group.newest
    assert dead_letters.groups(session, Selection(topic="others")) == []
    assert [len(p) for p in dead_letters.pages(session, Selection(), 2)] == [2, 1]
    assert dead_letters.drop(session, Selection(fingerprint=group.fingerprint)) == 3
    assert dead_letters.drop(session, Selection(fingerprint=group.fingerprint)) == 0
    assert letters(session, state="dropped")


def test_a_database_that_was_not_migrated_says_so(empty_database_url: str) -> None:
    with (
        Session(empty_database_url, name="letters") as session,
        pytest.raises(WorkerError, match="migrate"),
    ):
        dead_letters.groups(session, Selection())


def test_nothing_is_left_locked(reject: Any, session: Session, database_url: str) -> None:
    reject(b"{")
    letters(session)
    with psycopg.connect(database_url) as connection:
        row = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction' "
            "AND datname = current_database()"
        ).fetchone()
    assert row == (0,)
