"""Shadows: kept apart, promoted, rolled back, with whatever arrives meanwhile."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.integration.store.writing import exact
from worker.classifier import ModelInfo, Text
from worker.classifier.stub import StubClassifier
from worker.errors import WorkerError
from worker.posts import LABELS, Label, Post, Withdrawal
from worker.posts.order import Standing, merge, standing
from worker.posts.place import Partition
from worker.store import promotion, replays
from worker.store.forget import forget
from worker.store.interface import ReplayTurn
from worker.store.replays import Plan
from worker.store.session import Session

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from worker.batching import Item

pytestmark = pytest.mark.integration

NEW = ModelInfo("stub", "2", "cd" * 32, "none", LABELS, {}, "none")
counter = itertools.count(1)


def other_label(post: Post) -> Any:
    """What the new model says: seldom the same."""
    return StubClassifier().classify([Text(post.text[::-1] + " anew", post.lang)])[0]


class Bench:
    """Live stream, replays and promotions on one database, and what a fold makes of them."""

    def __init__(self, url: str, stream: Callable[..., Any], build: Any) -> None:
        self.url = url
        self.build = build
        self.number = next(counter)
        self.make = stream
        self.live = stream(group=f"live{self.number}")
        self.live.claim(0)
        self.offset = 0
        self.model = self.live.store.register_model(NEW)
        self.session = Session(url, name="test", writes=True)
        self.seen: dict[str, list[tuple[Standing, Any, int]]] = {}
        self.promoted: dict[str, tuple[Standing, Any, int]] = {}
        self.gone: set[str] = set()
        self.items: list[Item] = []

    def close(self) -> None:
        self.session.close()

    def id(self, word: str) -> str:
        return f"{self.number}-{word}"

    def item(self, word: str, version: int, created: int = 0, *, gone: bool = False) -> Item:
        self.offset += 1
        place = (self.number, self.offset, self.id(word))
        made = (
            self.build.withdrawal(*place)
            if gone
            else self.build.post(*place, version=version, created=created, tags=("x",))
        )
        item: Item = made
        self.items.append(item)
        return item

    def write(self, item: Item, generation: int = 0) -> None:
        """One record by a stream of its own partition, live or in place."""
        one = self.make(group=f"w{next(counter)}")
        one.claim(item.record.ref.partition, siblings=1)
        (batch,) = one.batches(item.record.ref.partition, [item], 10)
        entry = batch.entries[0]
        model = one.model_id
        if generation and isinstance(item.decoded, Post):
            entry, model = replace(entry, label=other_label(item.decoded)), self.model
        written = one.store.write(
            replace(batch, entries=(entry,), generation=generation, model_id=model)
        )
        assert not written.fenced
        one.close()
        if not isinstance(item.decoded, Post | Withdrawal):
            return
        said = (standing(item.decoded, generation), entry.label, model)
        self.seen.setdefault(item.decoded.post_id, []).append(said)

    def shadow(self, items: list[Item], name: str) -> None:
        """A finished shadow that has read `items`."""
        group = f"{name}.group"
        partition = Partition("posts", items[0].record.ref.topic_id, self.number)
        end = items[-1].record.ref.offset + 1
        plan = Plan(name, "shadow", group, ("posts",), None, None, self.model)
        assert self.session.run(lambda c: replays.create(c, plan, {partition: (0, end)}))
        assert not self.session.run(lambda c: replays.create(c, plan, {partition: (0, end)}))
        reader = self.make(group=group)
        reader.claim(self.number, siblings=1)
        for batch in reader.batches(self.number, items, 2):
            entries = tuple(
                replace(e, label=other_label(e.decoded)) if isinstance(e.decoded, Post) else e
                for e in batch.entries
            )
            reader.store.write(
                replace(
                    batch,
                    entries=entries,
                    model_id=self.model,
                    replay=ReplayTurn(name, 0),
                    shadow=True,
                )
            )
        reader.close()
        assert self.session.run(lambda c: replays.note(c, name))[1] == "finished"

    def expected(self) -> dict[str, tuple[Any, ...]]:
        found = {}
        for post_id in self.seen.keys() | self.promoted.keys():
            if post_id in self.gone:
                continue
            records = [*self.seen.get(post_id, [])]
            if post_id in self.promoted:
                records.append(self.promoted[post_id])
            state: Standing | None = None
            said: Any = None
            for record in records:
                after, _ = merge(state, record[0])
                if after is not state:
                    state, said = after, record
            assert state is not None
            if state.live:
                label, model = said[1], said[2]
                found[post_id] = (
                    state.ref.offset,
                    state.generation,
                    model,
                    label.emotion if isinstance(label, Label) else "unlabelled",
                )
        return found

    def stored(self) -> dict[str, tuple[Any, ...]]:
        with psycopg.connect(self.url) as connection:
            rows = connection.execute(
                "SELECT p.post_id, p.kafka_offset, p.generation, e.model_id, e.emotion, "
                "e.kafka_offset FROM posts p JOIN post_emotions e USING (platform, post_id) "
                "WHERE p.post_id LIKE %s AND p.created_at = e.created_at",
                (f"{self.number}-%",),
            ).fetchall()
        assert all(row[1] == row[5] for row in rows)
        return {row[0]: tuple(row[1:5]) for row in rows}

    def take(self, name: str) -> Callable[[int], None]:
        """Notes what each chunk of a promotion put in place, by looking."""

        def look(_: int) -> None:
            with psycopg.connect(self.url) as connection:
                rows = connection.execute(
                    "SELECT p.post_id, p.kafka_offset FROM posts p "
                    "JOIN replays r USING (generation) WHERE r.name = %s",
                    (name,),
                ).fetchall()
                (generation,) = connection.execute(
                    "SELECT generation FROM replays WHERE name = %s", (name,)
                ).fetchone() or (0,)
            for post_id, offset in rows:
                decoded = next(i.decoded for i in self.items if i.record.ref.offset == offset)
                assert isinstance(decoded, Post)
                self.promoted.setdefault(
                    post_id, (standing(decoded, generation), other_label(decoded), self.model)
                )

        return look


@pytest.fixture
def bench(
    database_url: str, stream: Callable[..., Any], build: Any, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[], Bench]]:
    monkeypatch.setattr(promotion, "CHUNK", 1)
    made: list[Bench] = []

    def make() -> Bench:
        made.append(Bench(database_url, stream, build))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_a_shadow_changes_nothing_until_it_is_promoted(bench: Callable[[], Bench]) -> None:
    b = bench()
    items = [b.item("a", 0), b.item("b", 0), b.item("c", 0), b.item("b", 5), b.item("d", 0)]
    for item in items[:-1]:
        b.write(item)
    before = b.stored()
    b.shadow(items, "s")
    assert b.stored() == before
    assert exact(b.url)
    # An edit and a withdrawal that the shadow has not seen.
    b.write(b.item("a", 9))
    b.write(b.item("c", 0, gone=True))
    done = promotion.promote(b.session, "s", b.take("s"))
    # b at its last version, and d, which nobody had seen.
    assert (done.state, done.promoted, done.superseded) == ("promoted", 2, 2)
    assert set(b.promoted) == {b.id("b"), b.id("d")}
    assert b.stored() == b.expected()
    assert exact(b.url)
    done = promotion.rollback(b.session, "s", lambda _: None)
    b.promoted.clear()
    assert (done.state, done.restored) == ("rolled_back", 2)
    assert b.stored() == b.expected()
    assert exact(b.url)


def test_a_rollback_brings_back_each_label_as_it_was(
    bench: Callable[[], Bench], rows: Callable[..., Any]
) -> None:
    b = bench()
    items = [b.item("a", 0), b.item("b", 0)]
    for item in items:
        b.write(item)
    sql = "SELECT * FROM post_emotions ORDER BY post_id"
    identities = "SELECT * FROM posts ORDER BY post_id"
    before = rows(sql), rows(identities)
    b.shadow(items, "s")
    promotion.promote(b.session, "s", lambda _: None)
    assert rows(sql) != before[0]
    promotion.rollback(b.session, "s", lambda _: None)
    assert (rows(sql), rows(identities)) == before
    assert rows("SELECT count(*) FROM kept_labels") == [(0,)]
    assert rows("SELECT count(*) FROM shadow_labels") == [(0,)]


def test_only_the_newest_promotion_can_be_taken_back(
    bench: Callable[[], Bench], rows: Callable[..., Any]
) -> None:
    b = bench()
    item = b.item("a", 0)
    b.write(item)
    for name in ("s1", "s2"):
        b.shadow([item], name)
    with pytest.raises(WorkerError, match=r"cannot be rolled back\. It was never promoted"):
        promotion.rollback(b.session, "s1", lambda _: None)
    promotion.promote(b.session, "s1", lambda _: None)
    promotion.promote(b.session, "s2", lambda _: None)
    with pytest.raises(WorkerError, match="is discarded and cannot be rolled back"):
        promotion.rollback(b.session, "s1", lambda _: None)
    promotion.rollback(b.session, "s2", lambda _: None)
    assert rows("SELECT generation FROM posts") == rows(
        "SELECT generation FROM replays WHERE name = 's1'"
    )
    assert exact(b.url)


def test_a_promotion_that_was_stopped_goes_on_or_back(
    bench: Callable[[], Bench], rows: Callable[..., Any]
) -> None:
    b = bench()
    items = [b.item(word, 0) for word in "abcd"]
    for item in items:
        b.write(item)
    before = b.stored()
    b.shadow(items, "s")

    class KilledError(Exception):
        pass

    def killed(_: int) -> None:
        raise KilledError

    for _ in range(2):
        with pytest.raises(KilledError):
            promotion.promote(b.session, "s", killed)
    assert rows("SELECT state, promoted FROM replays") == [("promoting", 2)]
    assert exact(b.url)
    with pytest.raises(KilledError):
        promotion.rollback(b.session, "s", killed)
    with pytest.raises(WorkerError, match="is rolling back and cannot be promoted"):
        promotion.promote(b.session, "s", lambda _: None)
    assert promotion.rollback(b.session, "s", lambda _: None).restored == 2
    assert b.stored() == before
    assert exact(b.url)


def test_what_is_forgotten_is_forgotten_in_shadows_and_kept_labels(
    bench: Callable[[], Bench], rows: Callable[..., Any]
) -> None:
    b = bench()
    items = [b.item(word, 0) for word in "abc"]
    for item in items:
        b.write(item)
    b.shadow(items, "s")
    b.shadow(items, "t")
    promotion.promote(b.session, "s", lambda _: None)
    forget(b.session, {("tw", b.id("a"))}, set())
    for table in ("kept_labels", "shadow_labels", "posts", "post_emotions"):
        found = rows(f"SELECT DISTINCT post_id FROM {table} ORDER BY 1")
        assert found == [(b.id("b"),), (b.id("c"),)], table
    promotion.promote(b.session, "t", lambda _: None)
    forget(b.session, {("tw", b.id("b"))}, set())
    promotion.rollback(b.session, "t", lambda _: None)
    assert rows("SELECT post_id FROM post_emotions") == [(b.id("c"),)]
    assert exact(b.url)


def test_what_the_live_stream_reads_of_a_promoted_post_stands_after_a_rollback(
    bench: Callable[[], Bench],
) -> None:
    b = bench()
    # The live stream passed over both: a gap that the promotion fills.
    items = [b.item("a", 0), b.item("b", 5), b.item("b", 0)]
    b.shadow(items, "s")
    promotion.promote(b.session, "s", b.take("s"))
    assert set(b.promoted) == {b.id("a"), b.id("b")}
    # Now it reads on: what it meets is beaten, by generation alone or by version.
    b.write(items[0])
    b.write(items[2])
    assert b.stored() == b.expected()
    b.write(items[1], generation=0)
    assert b.stored() == b.expected()
    promotion.rollback(b.session, "s", lambda _: None)
    b.promoted.clear()
    assert b.stored().keys() == {b.id("a"), b.id("b")}
    assert b.stored() == b.expected()
    assert exact(b.url)


def test_promotions_do_not_overlap(bench: Callable[[], Bench], rows: Callable[..., Any]) -> None:
    b = bench()
    items = [b.item(word, 0) for word in "abc"]
    b.shadow(items, "s1")
    b.shadow(items, "s2")

    def killed(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        promotion.promote(b.session, "s1", killed)
    with pytest.raises(WorkerError, match="replay s1 is promoting: finish that first"):
        promotion.promote(b.session, "s2", lambda _: None)
    with pytest.raises(KeyboardInterrupt):
        promotion.rollback(b.session, "s1", killed)
    with pytest.raises(WorkerError, match="replay s1 is rolling back: finish that first"):
        promotion.promote(b.session, "s2", lambda _: None)
    promotion.rollback(b.session, "s1", lambda _: None)
    promotion.promote(b.session, "s2", lambda _: None)
    assert rows("SELECT count(*) FROM post_emotions") == [(3,)]


def test_a_promoter_that_was_overtaken_stops(
    bench: Callable[[], Bench], rows: Callable[..., Any]
) -> None:
    b = bench()
    items = [b.item(word, 0) for word in "abcd"]
    for item in items:
        b.write(item)
    before = b.stored()
    b.shadow(items, "s")
    with Session(b.url, name="other", writes=True) as other:

        def taken_back(_: int) -> None:
            promotion.rollback(other, "s", lambda _: None)

        with pytest.raises(WorkerError, match="rolled back by another hand"):
            promotion.promote(b.session, "s", taken_back)
    assert b.stored() == before
    assert rows(
        "SELECT (SELECT count(*) FROM kept_labels), (SELECT count(*) FROM shadow_labels)"
    ) == [(0, 0)]


def test_what_is_promoted_reads_no_more_and_what_is_discarded_writes_no_more(
    bench: Callable[[], Bench], rows: Callable[..., Any]
) -> None:
    b = bench()
    items = [b.item(word, 0) for word in "ab"]
    b.shadow(items, "s")
    (found,) = b.session.run(lambda c: replays.read_replays(c, "s"))

    def extended(_: int) -> None:
        with pytest.raises(WorkerError, match="no longer one that reads"):
            b.session.run(lambda c: replays.extend(c, found.plan, {}, again={}))

    with Session(b.url, name="other", writes=True) as other:
        promotion.promote(other, "s", extended)
    b.shadow(items, "t")
    promotion.discard(b.session, "t", lambda _: None)
    assert rows("SELECT count(*) FROM shadow_labels") == [(0,)]
    late = b.make(group="t.group")
    late.claim(b.number, siblings=1)
    late.claims[b.number] = replace(
        late.claims[b.number], next_offset=items[-1].record.ref.offset + 1
    )
    (batch,) = late.batches(b.number, [b.item("c", 0)], 10)
    with pytest.raises(WorkerError, match="replay t is discarded"):
        late.store.write(replace(batch, replay=ReplayTurn("t", 0), shadow=True))
    assert rows("SELECT count(*) FROM shadow_labels") == [(0,)]


def test_a_replay_that_was_extended_is_not_finished_and_fences_who_knows_it_not(
    bench: Callable[[], Bench], rows: Callable[..., Any]
) -> None:
    b = bench()
    items = [b.item(word, 0) for word in "ab"]
    b.shadow(items, "s")
    (found,) = b.session.run(lambda c: replays.read_replays(c, "s"))
    partition = Partition("posts", items[0].record.ref.topic_id, b.number)
    b.session.run(lambda c: replays.extend(c, found.plan, {partition: (0, 99)}, again={}))
    stretches, state = b.session.run(lambda c: replays.note(c, "s"))
    assert (state, stretches[0].end, stretches[0].left > 0) == ("running", 99, True)
    late = b.make(group="s.group")
    late.claim(b.number, siblings=1)
    (batch,) = late.batches(b.number, [b.item("c", 0)], 10)
    with pytest.raises(WorkerError, match="was extended meanwhile: start this process again"):
        late.store.write(replace(batch, replay=ReplayTurn("s", 0), shadow=True))
    late.store.write(replace(batch, replay=ReplayTurn("s", 1), shadow=True))


def test_an_erased_authors_post_does_not_come_back_by_a_shadow(
    database_url: str, stream: Callable[..., Any], build: Any, rows: Callable[..., Any]
) -> None:
    key = "an author key of the test"
    named = build.post(0, 0, "p")
    named = replace(named, decoded=replace(named.decoded, author_id="ann"))
    reader = stream(group="s.group", author_key=key)
    with Session(database_url, name="t", writes=True, author_key=key.encode()) as session:
        forget(session, set(), {"ann"})
        place = Partition("posts", named.record.ref.topic_id, 0)
        plan = Plan("s", "shadow", "s.group", ("posts",), None, None, reader.model_id)
        session.run(lambda c: replays.create(c, plan, {place: (0, 2)}))
        reader.claim(0)
        for batch in reader.batches(0, [named, build.post(0, 1, "p")], 1):
            (outcomes,) = reader.store.write(
                replace(batch, replay=ReplayTurn("s", 0), shadow=True)
            ).outcomes.values()
            assert outcomes == {"erased": 1}
        session.run(lambda c: replays.note(c, "s"))
        promotion.promote(session, "s", lambda _: None)
    assert rows("SELECT count(*) FROM posts") == [(0,)]
    assert rows("SELECT count(*) FROM shadow_labels") == [(0,)]


def test_a_label_that_kept_its_topic_gets_it_back(
    bench: Callable[[], Bench], rows: Callable[..., Any]
) -> None:
    b = bench()
    item = b.item("a", 0)
    b.write(item)
    # As a replay of files leaves it: the identity is the file's, the label the topic's.
    with psycopg.connect(b.url) as connection:
        connection.execute("UPDATE posts SET topic = 'archive'")
    sql = "SELECT p.topic, e.topic FROM posts p JOIN post_emotions e USING (platform, post_id)"
    b.shadow([item], "s")
    promotion.promote(b.session, "s", lambda _: None)
    assert rows(sql) == [("posts", "posts")]
    promotion.rollback(b.session, "s", lambda _: None)
    assert rows(sql) == [("archive", "posts")]
    assert exact(b.url)


# Records seen before again, by any stream, are what a promotion meets most.
actions = st.lists(
    st.tuples(
        st.sampled_from(["again", "again", "again", "replay", "post", "gone", "forget"]),
        st.sampled_from("abc"),
        st.integers(0, 4),
    ),
    max_size=4,
)


@pytest.mark.parametrize("back", [False, True])
@settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    read=actions, before=actions, during=actions, between=actions, undoing=actions, after=actions
)
def test_whatever_arrives_meanwhile_the_tables_are_the_fold(  # noqa: C901 - a story in order
    bench: Callable[[], Bench],
    back: bool,
    read: list[tuple[str, str, int]],
    before: list[tuple[str, str, int]],
    during: list[tuple[str, str, int]],
    between: list[tuple[str, str, int]],
    undoing: list[tuple[str, str, int]],
    after: list[tuple[str, str, int]],
) -> None:
    b = bench()

    def act(what: str, word: str, version: int) -> None:
        if what == "forget":
            forget(b.session, {("tw", b.id(word))}, set())
            b.gone.add(b.id(word))
            return
        if what == "again" and b.items:
            b.write(b.items[version % len(b.items)])
            return
        generation = 0
        if what == "replay":
            with psycopg.connect(b.url) as connection:
                row = connection.execute("SELECT nextval('replay_generations')").fetchone()
            assert row is not None
            generation = row[0]
        b.write(b.item(word, version, gone=what == "gone"), generation)

    # What the shadow reads, of which the live stream has seen every other record.
    items = [b.item(word, version, gone=what == "gone") for what, word, version in read]
    for item in items[1::3]:
        b.write(item)
    items.append(b.item("a", 1))
    name = f"s{b.number}"
    b.shadow(items, name)
    for one in before:
        act(*one)

    waiting = list(during)
    take = b.take(name)

    def meanwhile(chunk: int) -> None:
        take(chunk)
        if waiting:
            act(*waiting.pop())
            assert exact(b.url)

    promotion.promote(b.session, name, meanwhile)
    for one in [*waiting, *between]:
        act(*one)
    assert b.stored() == b.expected()
    if back:
        waiting[:] = undoing

        def taken(_: int) -> None:
            if waiting:
                act(*waiting.pop())
                assert exact(b.url)

        promotion.rollback(b.session, name, taken)
        b.promoted.clear()
        for one in waiting:
            act(*one)
        assert b.stored() == b.expected()
    for one in after:
        act(*one)
    assert b.stored() == b.expected()
    assert exact(b.url)
