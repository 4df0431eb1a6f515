"""The one transaction: its fence, its erasures and floors, what it keeps of rejected records."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from uuid import UUID

import psycopg
import pytest

from worker.errors import ClaimBusyError, SchemaError, StoreUnavailableError, WorkerError
from worker.posts.place import Partition, Span
from worker.store.connection import connect
from worker.store.interface import Claim
from worker.store.policy import read_policy
from worker.store.verify import verify

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

pytestmark = pytest.mark.integration


def write(writer: Any, number: int, items: list[Any], size: int = 100) -> list[Any]:
    return [writer.store.write(batch) for batch in writer.batches(number, items, size)]


def test_a_zombie_writes_nothing(
    stream: Callable[..., Any], build: Any, rows: Callable[..., Any]
) -> None:
    zombie, heir = stream("zombie"), stream("heir")
    zombie.claim(0)
    stale = zombie.batches(0, [build.post(0, 0, "a"), build.post(0, 1, "b")], 100)[0]
    heir.claim(0)
    written = zombie.store.write(stale)
    assert written.fenced == stale.spans
    assert rows("SELECT count(*) FROM post_emotions") == [(0,)]
    write(heir, 0, [build.post(0, 0, "a"), build.post(0, 1, "b")])
    assert zombie.store.write(stale).fenced == stale.spans
    assert rows(
        "SELECT consumed, labelled, next_offset FROM stream_offsets WHERE consumed > 0"
    ) == [(2, 2, 2)]


def test_only_the_fenced_partition_is_left_out(
    stream: Callable[..., Any], build: Any, rows: Callable[..., Any]
) -> None:
    one, other = stream("one"), stream("other")
    one.claim(0)
    one.claim(1)
    lost = one.batches(0, [build.post(0, 0, "a"), build.rejection(0, 1)], 100)[0]
    kept = one.batches(1, [build.post(1, 0, "b"), build.rejection(1, 1)], 100)[0]
    both = type(lost)(lost.spans + kept.spans, lost.entries + kept.entries, lost.model_id)
    other.claim(0)
    written = one.store.write(both)
    assert written.fenced == lost.spans
    assert rows("SELECT post_id FROM post_emotions") == [("b",)]
    assert rows("SELECT kafka_partition FROM dead_letters") == [(1,)]
    assert rows("SELECT post_id FROM posts") == [("b",)]


def test_a_batch_that_does_not_follow_is_refused(
    stream: Callable[..., Any], build: Any, rows: Callable[..., Any]
) -> None:
    writer = stream()
    writer.claim(0)
    first, second = writer.batches(0, [build.post(0, 0, "a"), build.post(0, 1, "b")], 1)
    assert writer.store.write(second).fenced == second.spans
    assert not writer.store.write(first).fenced
    assert writer.store.write(first).repeated == first.spans
    assert not writer.store.write(second).fenced
    assert rows("SELECT sum(consumed)::int FROM stream_offsets") == [(2,)]


def test_gaps_and_empty_stretches_move_the_position(
    stream: Callable[..., Any], build: Any, rows: Callable[..., Any]
) -> None:
    writer = stream()
    writer.claim(0)
    write(writer, 0, [build.post(0, 5, "a"), build.post(0, 9, "b")])
    writer.claims[0] = Claim(writer.claims[0].partition, writer.claims[0].epoch, 10)
    for batch in writer.batches(0, [], 100, end=12):
        writer.store.write(batch)
    assert rows("SELECT next_offset, consumed FROM stream_offsets WHERE kafka_partition = 0") == [
        (12, 2)
    ]


def test_unclaimed_siblings_are_known_and_not_complete(
    stream: Callable[..., Any], build: Any, rows: Callable[..., Any]
) -> None:
    writer = stream()
    writer.claim(0, siblings=2)
    write(writer, 0, [build.post(0, 0, "a"), build.post(0, 1, "b", created=7_200)])
    assert rows(
        "SELECT kafka_partition, next_offset, owner_epoch FROM stream_offsets ORDER BY 1"
    ) == [(0, 2, 1), (1, None, 0)]
    assert rows("SELECT bool_or(complete) FROM emotion_trends") == [(False,)]
    writer.claim(1, siblings=2)
    claim = writer.claims[1]
    beat = Span(claim.partition, claim.epoch, 0, 0, writer_time(rows))
    assert writer.store.heartbeat([beat]) == 1
    done = rows(
        "SELECT DISTINCT bucket::text, complete FROM emotion_trends "
        "WHERE granularity = '1h' ORDER BY 1"
    )
    assert [complete for _, complete in done] == [True, False]
    stale = Span(claim.partition, claim.epoch - 1, 0, 0, writer_time(rows))
    assert writer.store.heartbeat([stale]) == 0


def writer_time(rows: Callable[..., Any]) -> datetime:
    found: datetime = rows("SELECT max(created_at) FROM post_emotions")[0][0]
    return found


def test_a_recreated_topic_is_another_log(
    stream: Callable[..., Any], rows: Callable[..., Any]
) -> None:
    writer = stream()
    writer.claim(0, siblings=1)
    anew = Partition("posts", UUID(int=99), 0)
    claim = writer.store.claim(anew, 1, "w")
    assert claim.next_offset is None
    assert rows("SELECT topic_id, retired_at IS NULL FROM stream_offsets ORDER BY topic_id") == [
        (UUID(int=7), False),
        (UUID(int=99), True),
    ]


def test_a_claim_says_when_the_old_owner_holds_on(
    stream: Callable[..., Any], database_url: str
) -> None:
    writer = stream()
    writer.claim(0)
    with psycopg.connect(database_url) as frozen:
        frozen.execute("SELECT FROM stream_offsets WHERE kafka_partition = 0 FOR UPDATE")
        started = time.monotonic()
        with pytest.raises(ClaimBusyError):
            writer.claim(0)
        assert time.monotonic() - started < 5
    assert writer.claim(0).epoch == 2


def test_erased_posts_and_authors_stay_away(
    stream: Callable[..., Any], build: Any, rows: Callable[..., Any], database_url: str
) -> None:
    key = "k" * 32
    writer = stream(author_key=key)
    writer.claim(0)
    with psycopg.connect(database_url, autocommit=True) as connection:
        (secret,) = rows("SELECT erasure_key FROM policy")[0]
        author = hmac.digest(key.encode(), b"ann", "sha256")
        connection.execute(
            "INSERT INTO erasures (kind, hash) VALUES ('post', %s), ('author', %s)",
            (hmac.digest(secret, b"tw:a", "sha256"), author),
        )
    theirs = build.post(0, 2, "c")
    fields = {name: getattr(theirs.decoded, name) for name in theirs.decoded.__slots__}
    by_ann = type(theirs)(theirs.record, type(theirs.decoded)(**{**fields, "author_id": "ann"}))
    written = write(
        writer,
        0,
        [build.post(0, 0, "a"), build.withdrawal(0, 1, "a"), by_ann, build.post(0, 3, "b")],
    )
    assert dict(next(iter(written[0].outcomes.values()))) == {"erased": 3, "labelled": 1}
    assert rows("SELECT post_id FROM posts") == [("b",)]


def test_without_the_author_key_of_the_erasures_a_worker_does_not_start(
    stream: Callable[..., Any], database_url: str
) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("UPDATE policy SET author_key_fingerprint = 'other'")
    with pytest.raises(WorkerError, match="WORKER_AUTHOR_KEY"):
        stream().store.open()
    with pytest.raises(WorkerError, match="WORKER_AUTHOR_KEY"):
        stream(author_key="k" * 32).store.open()


def test_records_below_the_floor_are_expired_but_withdrawals_never(
    stream: Callable[..., Any],
    build: Any,
    rows: Callable[..., Any],
    database_url: str,
    noon: datetime,
) -> None:
    writer = stream()
    writer.claim(0)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("UPDATE policy SET label_floor = %s", (noon,))
    written = write(
        writer,
        0,
        [
            build.post(0, 0, "old", created=-1),
            build.post(0, 1, "new"),
            build.withdrawal(0, 2, "old"),
        ],
    )
    assert dict(next(iter(written[0].outcomes.values()))) == {
        "expired": 1,
        "labelled": 1,
        "withdrawn": 1,
    }
    assert rows("SELECT post_id, state FROM posts ORDER BY 1") == [
        ("new", "live"),
        ("old", "withdrawn"),
    ]


def test_dead_letters_keep_the_raw_bytes(
    stream: Callable[..., Any], build: Any, rows: Callable[..., Any]
) -> None:
    long = b"\xff" * (1 << 20) + b"!"
    writer = stream()
    writer.claim(0)
    write(
        writer,
        0,
        [
            build.rejection(0, 0, b"\x00\xff"),
            build.rejection(0, 1, long),
            build.rejection(0, 2, None),
        ],
    )
    assert rows(
        "SELECT value, value_length, value_sha256, reason, state FROM dead_letters "
        "ORDER BY kafka_offset"
    ) == [
        (b"\x00\xff", 2, hashlib.sha256(b"\x00\xff").digest(), "bad_json", "new"),
        (None, len(long), hashlib.sha256(long).digest(), "bad_json", "new"),
        (None, None, None, "bad_json", "new"),
    ]


def test_days_get_partitions_within_reason(
    stream: Callable[..., Any], build: Any, rows: Callable[..., Any]
) -> None:
    writer = stream()
    writer.claim(0)
    day = int(timedelta(days=1).total_seconds())
    items = [
        build.post(0, offset, f"p{offset}", created=days * day)
        for offset, days in enumerate((0, -1, -4_000, 2_000))
    ]
    write(writer, 0, items)
    names = rows("SELECT tableoid::regclass::text, post_id FROM post_emotions ORDER BY post_id")
    assert names == [
        ("post_emotions_20260301", "p0"),
        ("post_emotions_20260228", "p1"),
        ("post_emotions_default", "p2"),
        ("post_emotions_default", "p3"),
    ]


def test_a_long_reader_holds_no_batch_up(
    stream: Callable[..., Any], build: Any, rows: Callable[..., Any], database_url: str
) -> None:
    """As a dump does, which holds every table until its end."""
    writer = stream()
    writer.claim(0)
    with psycopg.connect(database_url) as dump:
        dump.execute("SELECT count(*) FROM post_emotions")
        started = time.monotonic()
        write(writer, 0, [build.post(0, n, f"p{n}") for n in range(4)], size=1)
        assert time.monotonic() - started < 3
    assert rows("SELECT DISTINCT tableoid::regclass::text FROM post_emotions") == [
        ("post_emotions_default",)
    ]


def test_a_watermark_is_never_ahead_of_the_clock(
    stream: Callable[..., Any], build: Any, rows: Callable[..., Any]
) -> None:
    writer = stream()
    writer.claim(0, siblings=1)
    century = 100 * 365 * 86_400
    write(writer, 0, [build.post(0, 0, "a"), build.post(0, 1, "b", created=century)])
    assert rows("SELECT watermark <= now() FROM stream_offsets") == [(True,)]
    assert rows("SELECT bool_or(complete) FROM emotion_trends WHERE bucket > now()") == [(False,)]


def test_a_day_takes_its_rows_out_of_the_default_partition(
    stream: Callable[..., Any], build: Any, rows: Callable[..., Any], noon: datetime
) -> None:
    early = stream(clock=lambda: noon - timedelta(days=900))
    early.claim(0)
    write(early, 0, [build.post(0, 0, "a")])
    assert rows("SELECT tableoid::regclass::text FROM post_emotions") == [
        ("post_emotions_default",)
    ]
    later = stream()
    later.claim(1)
    write(later, 1, [build.post(1, 0, "b")])
    assert rows("SELECT DISTINCT tableoid::regclass::text FROM post_emotions") == [
        ("post_emotions_20260301",)
    ]


def test_a_lost_connection_loses_and_repeats_nothing(
    stream: Callable[..., Any], build: Any, rows: Callable[..., Any], database_url: str
) -> None:
    writer = stream()
    writer.claim(0)
    batches = writer.batches(0, [build.post(0, n, f"p{n}") for n in range(6)], 2)
    for batch in batches:
        with psycopg.connect(database_url, autocommit=True) as killer:
            killer.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND application_name = 'emotion-worker g'"
            )
        with pytest.raises(StoreUnavailableError):
            writer.store.write(batch)
        assert not writer.store.write(batch).fenced
    assert rows("SELECT count(*) FROM post_emotions") == [(6,)]
    assert rows("SELECT sum(consumed)::int FROM stream_offsets") == [(6,)]


def test_a_session_that_the_server_ended_is_made_anew(
    stream: Callable[..., Any],
    build: Any,
    rows: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As when a worker was frozen inside its transaction: the server cuts it off."""
    monkeypatch.setattr("worker.store.session.IDLE_IN_TRANSACTION_S", 0.2)
    real, calls = read_policy, iter([True])

    def frozen_once(cursor: Any) -> Any:
        if next(calls, False):
            time.sleep(0.5)
        return real(cursor)

    writer = stream()
    writer.claim(0)
    (batch,) = writer.batches(0, [build.post(0, 0, "a")], 10)
    monkeypatch.setattr("worker.store.writer.read_policy", frozen_once)
    with pytest.raises(StoreUnavailableError):
        writer.store.write(batch)
    assert not writer.store.write(batch).fenced
    assert rows("SELECT sum(consumed)::int FROM stream_offsets") == [(1,)]


def test_a_role_that_may_make_no_partitions_writes_all_the_same(
    stream: Callable[..., Any], build: Any, rows: Callable[..., Any], database_url: str
) -> None:
    role = f"writer_{secrets.token_hex(4)}"
    with psycopg.connect(database_url, autocommit=True) as owner:
        owner.execute(f"CREATE ROLE {role} LOGIN PASSWORD '{role}'")
        owner.execute(
            f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role}"
        )
        parts = urlsplit(database_url)
        place = parts.netloc.rpartition("@")[2]
        url = parts._replace(netloc=f"{role}:{role}@{place}").geturl()
        writer = type(stream())(url, "w")
        try:
            writer.claim(0)
            write(writer, 0, [build.post(0, 0, "a")])
            assert rows("SELECT tableoid::regclass::text FROM post_emotions") == [
                ("post_emotions_default",)
            ]
        finally:
            writer.close()
            owner.execute(f"DROP OWNED BY {role}")
            owner.execute(f"DROP ROLE {role}")


def test_writers_side_by_side_do_not_deadlock(
    stream: Callable[..., Any], build: Any, rows: Callable[..., Any], database_url: str
) -> None:
    """All write versions of the same few posts, in different orders, in many small transactions."""
    errors: list[BaseException] = []
    together = threading.Barrier(3)

    def work(writer: Any, number: int, ids: list[str]) -> None:
        try:
            items = [
                build.post(number, n, post_id, version=3 * n + number, tags=("x",))
                for n, post_id in enumerate(ids * 12)
            ]
            for batch in writer.batches(number, items, 6):
                together.wait(30)
                writer.store.write(batch)
        except BaseException as error:
            errors.append(error)

    ids = [f"p{n:03}" for n in range(18)]
    writers = [stream(), stream(), stream()]
    for number, writer in enumerate(writers):
        writer.claim(number)
    orders = [ids, ids[::-1], ids[9:] + ids[:9]]
    threads = [
        threading.Thread(target=work, args=(writer, number, orders[number]))
        for number, writer in enumerate(writers)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert errors == []
    with connect(database_url, application_name="test") as connection:
        verified = verify(connection)
    assert verified.differences == ()
    assert (verified.labels, verified.consumed) == (18, 648)
    newest: dict[str, int] = {}
    for number, order in enumerate(orders):
        for n, post_id in enumerate(order * 12):
            newest[post_id] = max(newest.get(post_id, 0), 3 * n + number)
    stand = rows("SELECT post_id, extract(epoch FROM version - created_at)::int FROM posts")
    assert dict(stand) == newest


def test_verify_finds_what_is_wrong(
    stream: Callable[..., Any], build: Any, database_url: str
) -> None:
    writer = stream()
    writer.claim(0)
    write(writer, 0, [build.post(0, 0, "a"), build.post(0, 1, "b", tags=("x",))])

    def found() -> set[str]:
        with connect(database_url, application_name="test") as connection:
            return {difference.invariant for difference in verify(connection).differences}

    assert found() == set()
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            "UPDATE trend_cells SET joy_score = joy_score + 1 WHERE dimension = 'hashtag'"
        )
        assert found() == {"cells"}
        connection.execute(
            "UPDATE trend_cells SET joy_score = joy_score - 1 WHERE dimension = 'hashtag'"
        )
        assert found() == set()
        connection.execute("DELETE FROM post_emotions WHERE post_id = 'a'")
        assert found() == {"cells", "identities"}


def test_an_unmigrated_database_is_named_with_the_fix(empty_database_url: str) -> None:
    from worker.store.postgres import PostgresStore  # noqa: PLC0415

    with pytest.raises(SchemaError, match="emotion-worker migrate"):
        PostgresStore(empty_database_url, group="g").open()


def test_a_label_that_is_missing_is_said_not_waited_for(
    stream: Callable[..., Any], build: Any, rows: Callable[..., Any], database_url: str
) -> None:
    writer = stream()
    writer.claim(0)
    first, second = writer.batches(0, [build.post(0, 0, "a"), build.post(0, 1, "a", version=1)], 1)
    writer.store.write(first)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("DELETE FROM post_emotions")
    with pytest.raises(WorkerError, match="emotion-worker verify") as raised:
        writer.store.write(second)
    assert raised.value.exit_code == 1
    assert rows("SELECT next_offset FROM stream_offsets WHERE kafka_partition = 0") == [(1,)]
