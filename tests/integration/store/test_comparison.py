"""What a shadow changes, counted in the database: against a count of the same posts by hand."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from worker.classifier import ModelInfo
from worker.errors import WorkerError
from worker.posts import LABELS, Label, Post, Unlabelled
from worker.posts.place import Partition
from worker.store import promotion, replays
from worker.store.comparison import COMPARED_BY, compare, labels_beside
from worker.store.interface import ReplayTurn
from worker.store.replays import Plan
from worker.store.session import Session

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from worker.batching import Item
    from worker.store.compared import Comparison
    from worker.store.replays import State

pytestmark = pytest.mark.integration

NEW = ModelInfo("mine", "2", "cd" * 32, "none", LABELS, {}, "none")
UNLABELLED = Unlabelled("language")

Said = Label | Unlabelled


def says(emotion: str, confidence: float, *, top: str | None = None) -> Label:
    """A label whose most probable emotion is `top`, if it is not the emotion itself."""
    best = LABELS.index(top or emotion)
    rest = round((1 - confidence) * 1_000_000 / 5)
    scores = [rest] * 6
    scores[best] = round(confidence * 1_000_000)
    one, two, three, four, five, six = scores
    return Label(emotion, confidence, (one, two, three, four, five, six))


class Bench:
    """A live stream and shadows of it, each with the labels that it is told to give."""

    def __init__(self, url: str, stream: Callable[..., Any], build: Any) -> None:
        self.url = url
        self.make = stream
        self.build = build
        self.offsets = itertools.count(1)
        self.session = Session(url, name="test", writes=True)
        self.streams = {"live": stream(group="live")}
        self.streams["live"].claim(0, siblings=1)
        self.model = self.streams["live"].store.register_model(NEW)

    def post(self, post_id: str, version: int = 0, **fields: Any) -> Item:
        made: Item = self.build.post(0, next(self.offsets), post_id, version=version, **fields)
        return made

    def gone(self, post_id: str) -> Item:
        made: Item = self.build.withdrawal(0, next(self.offsets), post_id)
        return made

    def write(self, item: Item, said: Said | None, *, shadow: str | None = None) -> None:
        """One record, live or of a shadow; those of each in the order of their offsets."""
        group = f"{shadow}.group" if shadow else "live"
        if group not in self.streams:
            self.streams[group] = self.make(group=group)
            self.streams[group].claim(0, siblings=1)
        one = self.streams[group]
        (batch,) = one.batches(0, [item], 10)
        entry = replace(batch.entries[0], label=said)
        model = self.model if shadow else one.model_id
        turn = None if shadow is None else ReplayTurn(shadow, 0)
        written = one.store.write(
            replace(
                batch,
                entries=(entry,),
                model_id=model,
                replay=turn,
                shadow=turn is not None,
            )
        )
        assert not written.fenced
        one.claims[0] = replace(one.claims[0], next_offset=item.record.ref.offset + 1)

    def begin(self, name: str, *, end: int = 10_000, kind: Any = "shadow") -> None:
        partition = Partition("posts", self.build.post(0, 0, "x").record.ref.topic_id, 0)
        plan = Plan(name, kind, f"{name}.group", ("posts",), None, None, self.model)
        assert self.session.run(lambda c: replays.create(c, plan, {partition: (0, end)}))

    def finish(self, name: str) -> None:
        running: tuple[State, ...] = ("running",)
        assert self.session.run(
            lambda c: replays.set_state(c, name, before=running, after="finished")
        )

    def compare(self, name: str, *, top: int = 10, by: tuple[str, ...] = COMPARED_BY) -> Comparison:
        (found,) = self.session.run(lambda c: replays.read_replays(c, name))
        return self.session.run(lambda c: compare(c, found, dimensions=by, top=top))


@pytest.fixture
def bench(database_url: str, stream: Callable[..., Any], build: Any) -> Iterator[Bench]:
    made = Bench(database_url, stream, build)
    yield made
    made.session.close()


TABLE: Mapping[str, tuple[Said, Said, dict[str, Any]]] = {
    "a": (says("joy", 0.9), says("joy", 0.95), {"tags": ("x", "y")}),
    "b": (says("joy", 0.8), says("anger", 0.99), {"tags": ("x",)}),
    "c": (says("joy", 0.3), says("uncertain", 0.25, top="joy"), {"lang": "de"}),
    "d": (says("fear", 0.7), says("anger", 0.6), {"lang": None}),
    "e": (UNLABELLED, says("anger", 0.5), {"lang": "de"}),
    "f": (UNLABELLED, UNLABELLED, {"lang": "de"}),
}
"""Labels before and after, and what the posts have besides."""


def fill(bench: Bench, name: str) -> dict[str, Item]:
    bench.begin(name)
    items = {post_id: bench.post(post_id, **fields) for post_id, (_, _, fields) in TABLE.items()}
    for post_id, item in items.items():
        bench.write(item, TABLE[post_id][0])
        bench.write(item, TABLE[post_id][1], shadow=name)
    return items


def check(found: Comparison) -> None:
    """Counts the table by hand."""
    assert found.posts == 6
    assert found.labelled == 4
    assert found.model == "mine 2"
    assert found.models == (("stub 1", 6),)
    assert found.confusion == Counter(
        {
            ("joy", "joy"): 1,
            ("joy", "anger"): 1,
            ("joy", "uncertain"): 1,
            ("fear", "anger"): 1,
            ("unlabelled", "anger"): 1,
            ("unlabelled", "unlabelled"): 1,
        }
    )
    assert (found.agreement.same, found.agreement.posts) == (2, 6)
    assert (found.agreement_of_six.same, found.agreement_of_six.posts) == (1, 3)
    assert (found.agreement_on_top.same, found.agreement_on_top.posts) == (2, 4)
    shifts = {one.emotion: one for one in found.shifts}
    assert (shifts["joy"].before, shifts["joy"].after, shifts["joy"].posts) == (3, 1, 4)
    assert shifts["joy"].difference == -0.5
    assert (shifts["anger"].before, shifts["anger"].after) == (0, 2)
    assert shifts["sadness"].low == shifts["sadness"].high == 0
    assert found.confidence("before") == pytest.approx((0.9 + 0.8 + 0.3 + 0.7) / 4)
    assert found.confidence("after") == pytest.approx((0.95 + 0.99 + 0.25 + 0.6) / 4)
    before, after = found.deciles("before"), found.deciles("after")
    # 0.3, 0.7 and 0.9 lie at the foot of their tenths.
    assert [one.posts for one in before] == [0, 0, 0, 1, 0, 0, 0, 1, 1, 1]
    assert [one.posts for one in after] == [0, 0, 1, 0, 0, 0, 1, 0, 0, 2]
    assert after[9].agreement.share == 0.5
    assert before[9].confidence == pytest.approx(0.9)
    values = {(one.dimension, one.value): one for one in found.values}
    assert [one.value for one in found.values if one.dimension == "hashtag"] == ["x", "y"]
    assert (values["hashtag", "x"].posts, values["hashtag", "x"].changed) == (2, 1)
    assert values["hashtag", "x"].gained == ("anger", 0.5)
    assert values["hashtag", "x"].lost == ("joy", -0.5)
    assert values["hashtag", "y"].gained is None
    assert (values["lang", "de"].posts, values["lang", "de"].changed) == (3, 2)
    assert values["lang", "und"].gained == ("anger", 1.0)
    assert values["topic", "posts"].posts == values["platform", "tw"].posts == 6
    assert [(one.post_id, one.before, one.after) for one in found.disagreements] == [
        ("b", "joy", "anger"),
        ("d", "fear", "anger"),
        ("c", "joy", "uncertain"),
    ]
    assert found.disagreements[0].after_confidence == pytest.approx(0.99)


def test_what_the_models_say_of_the_same_versions(bench: Bench) -> None:
    fill(bench, "s")
    check(bench.compare("s"))
    assert bench.compare("s").state == "running"
    top = bench.compare("s", top=1, by=("hashtag",))
    assert [one.value for one in top.values] == ["x"]
    assert len(top.disagreements) == 1


def test_once_it_is_promoted_before_is_what_was_kept(bench: Bench) -> None:
    items = fill(bench, "s")
    added = bench.post("z")
    bench.write(added, says("joy", 0.5), shadow="s")
    bench.finish("s")
    promotion.promote(bench.session, "s", lambda _: None)
    found = bench.compare("s")
    check(found)
    assert (found.state, found.unseen, found.superseded, found.withdrawn) == ("promoted", 1, 0, 0)
    # What changes then is no matter of the models.
    bench.write(bench.post("a", version=5), says("fear", 0.9))
    bench.write(bench.gone("b"), None)
    found = bench.compare("s")
    assert (found.posts, found.superseded, found.withdrawn, found.unseen) == (4, 1, 1, 1)
    assert len(items) == 6


class KilledError(Exception):
    pass


def test_in_the_middle_of_a_promotion_nothing_is_missed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(promotion, "CHUNK", 2)
    fill(bench, "s")
    bench.finish("s")

    def killed(_: int) -> None:
        raise KilledError

    with pytest.raises(KilledError):
        promotion.promote(bench.session, "s", killed)
    (replay,) = bench.session.run(lambda c: replays.read_replays(c, "s"))
    assert bench.session.run(lambda c: labels_beside(c, replay)) == (4, 2)
    check(bench.compare("s"))


def test_what_cannot_be_compared_is_counted(bench: Bench) -> None:
    bench.begin("s")
    for word in ("same", "edited", "older", "gone", "unseen", "read-gone"):
        item = bench.post(word, version=1)
        if word != "unseen":
            bench.write(item, says("joy", 0.9))
        bench.write(item, says("joy", 0.9), shadow="s")
    bench.write(bench.post("edited", version=7), says("love", 0.9))
    # The shadow is ahead of the live stream.
    bench.write(bench.post("older", version=7), says("joy", 0.9), shadow="s")
    bench.write(bench.gone("gone"), None)
    bench.write(bench.gone("read-gone"), None, shadow="s")
    found = bench.compare("s")
    assert (found.posts, found.superseded, found.withdrawn, found.unseen) == (1, 2, 2, 1)
    assert found.agreement.share == 1
    assert found.disagreements == ()


def test_live_labels_of_several_models_are_told_apart(bench: Bench) -> None:
    fill(bench, "s")
    with psycopg.connect(bench.url, autocommit=True) as connection:
        connection.execute(
            "UPDATE post_emotions SET model_id = %s WHERE post_id IN ('a', 'b')", (bench.model,)
        )
    assert bench.compare("s").models == (("stub 1", 4), ("mine 2", 2))


def test_texts_are_shown_where_they_are_stored(bench: Bench) -> None:
    fill(bench, "s")
    assert bench.compare("s").disagreements[0].text is None
    with psycopg.connect(bench.url, autocommit=True) as connection:
        connection.execute("UPDATE post_emotions SET text = 'so ' || post_id")
    assert [one.text for one in bench.compare("s").disagreements] == ["so b", "so d", "so c"]


def test_nothing_to_compare_yet(bench: Bench) -> None:
    bench.begin("s")
    found = bench.compare("s")
    assert (found.posts, found.labelled, found.shifts, found.values) == (0, 0, (), ())
    assert found.agreement.share is None
    assert found.confidence("after") is None


def test_what_keeps_no_labels_is_refused(bench: Bench) -> None:
    bench.begin("p", kind="in_place")
    with pytest.raises(WorkerError, match="is not a shadow"):
        bench.compare("p")
    fill(bench, "s")
    bench.finish("s")
    promotion.promote(bench.session, "s", lambda _: None)
    promotion.rollback(bench.session, "s", lambda _: None)
    with pytest.raises(WorkerError, match="was rolled back"):
        bench.compare("s")
    bench.begin("d")
    promotion.discard(bench.session, "d", lambda _: None)
    with pytest.raises(WorkerError, match="was discarded"):
        bench.compare("d")


def test_a_session_compares_again_and_again(bench: Bench) -> None:
    """The temporary table of one does not stand in the way of the next."""
    items = fill(bench, "s")
    first = bench.compare("s")
    assert bench.compare("s") == first
    assert isinstance(items["a"].decoded, Post)
