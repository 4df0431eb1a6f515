from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fakes.clock import ManualClock
from worker.batching import Item, MicroBatch
from worker.classifier import Text
from worker.classifier.stub import StubClassifier
from worker.errors import ClassifierError, WorkerError
from worker.health import Health, Pulse
from worker.pipeline.channels import Channels
from worker.pipeline.classify import ClassifyStage
from worker.posts import Post, Record, RecordRef, Rejection, Unlabelled, Withdrawal
from worker.posts.place import Partition, Span
from worker.source import TopicPartition
from worker.store.interface import Entry

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.unit.pipeline.conftest import Rig
    from worker.posts import Label

TIME = datetime(2026, 3, 1, tzinfo=UTC)
TOPIC_ID = UUID(int=1)


def _ref(number: int, offset: int) -> RecordRef:
    return RecordRef("posts", TOPIC_ID, number, offset)


def _post(number: int, offset: int, text: str) -> Item:
    ref = _ref(number, offset)
    post = Post(ref, "x", f"{number}-{offset}", text, TIME, TIME, None, None, ())
    return Item(Record(ref, 0, None, text.encode()), post)


def _batch(items: Sequence[Item], epoch: int = 1) -> MicroBatch:
    offsets: dict[int, list[int]] = {}
    for item in items:
        offsets.setdefault(item.record.ref.partition, []).append(item.record.ref.offset)
    spans = tuple(
        Span(Partition("posts", TOPIC_ID, number), epoch, min(found), max(found) + 1, None)
        for number, found in offsets.items()
    )
    return MicroBatch(spans, tuple(items))


def _hold(rig: Rig, *numbers: int, epoch: int = 1) -> None:
    places = [TopicPartition("posts", number) for number in numbers]
    rig.assignment.assigned(places)
    for place, token in rig.assignment.take_unclaimed().items():
        assert rig.assignment.confirm(place, token, epoch)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.booleans(), max_size=40))
def test_exactly_the_posts_to_blame_are_rejected(
    make_rig: Callable[..., Rig], poisoned: list[bool]
) -> None:
    rig = make_rig()
    _hold(rig, 0)
    items = [
        _post(0, offset, f"poison {offset}" if bad else f"what a day {offset}")
        for offset, bad in enumerate(poisoned)
    ]
    alone = StubClassifier()

    batch = rig.classifying.label(_batch(items))

    assert [entry.record for entry in batch.entries] == [item.record for item in items]
    for entry, item, bad in zip(batch.entries, items, poisoned, strict=True):
        assert isinstance(item.decoded, Post)
        if bad:
            assert isinstance(entry.decoded, Rejection)
            assert entry.decoded.ref == item.record.ref
            assert entry.decoded.reason == "model_failed"
            assert item.decoded.text not in entry.decoded.detail
            assert entry.label is None
        else:
            assert entry.decoded is item.decoded
            assert [entry.label] == alone.classify([Text(item.decoded.text)])


def test_one_poison_among_many_costs_few_passes(rig: Rig) -> None:
    _hold(rig, 0)
    items = [_post(0, n, "poison" if n == 417 else f"text {n}") for n in range(1_024)]
    rig.classifying.label(_batch(items))
    # The whole, two for each of the ten halvings, and an innocent text.
    assert rig.classifier.calls == 22


def test_withdrawals_and_rejections_pass_through_in_order(rig: Rig) -> None:
    _hold(rig, 0)
    gone = Item(Record(_ref(0, 1), 0, None, b"{}"), Withdrawal(_ref(0, 1), "x", "1"))
    bad = Item(Record(_ref(0, 2), 0, None, b"?"), Rejection(_ref(0, 2), "bad_json", "?", "?"))
    items = [_post(0, 0, "one"), gone, bad, _post(0, 3, "..."), _post(0, 4, "two")]

    batch = rig.classifying.label(_batch(items))

    assert [entry.decoded for entry in batch.entries] == [item.decoded for item in items]
    assert batch.entries[1:3] == (Entry(gone.record, gone.decoded), Entry(bad.record, bad.decoded))
    assert batch.entries[3].label == Unlabelled("empty")
    one, two = StubClassifier().classify([Text("one"), Text("two")])
    assert (batch.entries[0].label, batch.entries[4].label) == (one, two)
    assert batch.model_id == 1
    assert rig.classifier.calls == 1


@pytest.mark.parametrize("lost", ["revoked", "reassigned"])
def test_spans_that_are_no_longer_ours_are_dropped(rig: Rig, lost: str) -> None:
    _hold(rig, 0, 1)
    rig.assignment.revoked([TopicPartition("posts", 1)])
    if lost == "reassigned":
        _hold(rig, 1, epoch=2)
    items = [_post(1, 0, "poison"), _post(0, 0, "ours"), _post(1, 1, "theirs")]

    batch = rig.classifying.label(_batch(items))

    assert [span.partition.number for span in batch.spans] == [0]
    assert [entry.record for entry in batch.entries] == [items[1].record]
    assert rig.classifier.calls == 1, "the model never saw the others"


def test_a_batch_of_which_nothing_is_ours_goes_no_further(rig: Rig) -> None:
    rig.channels.batches.put(_batch([_post(0, 0, "text")]))
    assert rig.classifying.turn(0)
    assert len(rig.channels.inbox) == 0


def test_a_span_without_records_goes_on(rig: Rig) -> None:
    _hold(rig, 0)
    span = Span(Partition("posts", TOPIC_ID, 0), 1, 5, 9, None)
    rig.channels.batches.put(MicroBatch((span,), ()))
    assert rig.classifying.turn(0)
    batch = rig.channels.inbox.take(0)
    assert batch is not None
    assert batch == rig.classifying.label(MicroBatch((span,), ()))
    assert rig.classifier.calls == 0


def test_the_stage_ends_after_the_last_batch(rig: Rig) -> None:
    _hold(rig, 0)
    rig.channels.batches.put(_batch([_post(0, 0, "text")]))
    rig.channels.batches.put(None)

    rig.classifying.run()

    assert rig.channels.classified.is_set()
    assert len(rig.channels.inbox) == 1


def test_an_abandoned_stage_does_not_wait_for_room(rig: Rig) -> None:
    _hold(rig, 0)
    while rig.channels.inbox.put(rig.classifying.label(_batch([_post(0, 0, "text")])), 0):
        pass
    before = len(rig.channels.inbox)
    rig.channels.batches.put(_batch([_post(0, 1, "text")]))
    rig.channels.abandoned.set()

    assert not rig.classifying.turn(0)
    assert len(rig.channels.inbox) == before


# A model that fails on everything


class Counting(Pulse):
    def __init__(self) -> None:
        super().__init__()
        self.beats = 0

    def beat(self) -> None:
        self.beats += 1


class Forgetful(StubClassifier):
    """Remembers labels, as the real one does; once `broken`, it fails on whatever is new to it."""

    def __init__(self) -> None:
        super().__init__()
        self.broken = False
        self._seen: set[str] = set()

    def classify(self, texts: Sequence[Text]) -> list[Label | Unlabelled]:
        if self.broken and any(text.text not in self._seen for text in texts):
            raise ClassifierError("the weights are gone")
        self._seen |= {text.text for text in texts}
        return super().classify(texts)


def test_a_model_that_fails_on_every_text_is_no_post_s_fault(rig: Rig) -> None:
    _hold(rig, 0)
    model = Forgetful()
    rig.classifying = ClassifyStage(model, 1, rig.assignment, rig.channels)
    rig.classifying.label(_batch([_post(0, n, f"text {n}") for n in range(50)]))
    model.broken = True

    with pytest.raises(WorkerError, match="fails on every text: the weights are gone") as raised:
        rig.classifying.label(_batch([_post(0, n, f"text {n}") for n in range(40, 60)]))

    assert raised.value.exit_code == 1
    assert "Nothing of the batch was stored" in str(raised.value)


def test_each_post_to_blame_is_told_from_the_model(rig: Rig) -> None:
    """The first one's probe must not answer for the second's: labels are remembered."""
    _hold(rig, 0)
    model = Forgetful()
    rig.classifying = ClassifyStage(model, 1, rig.assignment, rig.channels)
    classify, failures = model.classify, 0

    def breaks_later(texts: Sequence[Text]) -> list[Label | Unlabelled]:
        nonlocal failures
        if any("poison" in text.text for text in texts):
            failures += len(texts) == 1
            model.broken = failures == 2
            raise ClassifierError("the forward pass failed")
        return classify(texts)

    model.classify = breaks_later  # type: ignore[method-assign]
    with pytest.raises(WorkerError, match="every text"):
        rig.classifying.label(_batch([_post(0, 0, "poison one"), _post(0, 1, "poison two")]))
    assert failures == 2


def test_the_stage_shows_signs_of_life_while_it_looks_for_what_is_to_blame(rig: Rig) -> None:
    _hold(rig, 0)
    pulse = rig.classifying._pulse = Counting()
    rig.classifying.label(_batch([_post(0, n, "poison" if n == 3 else f"{n}") for n in range(16)]))
    assert pulse.beats == 9  # the whole, then two for each of the four halvings


def test_a_batch_that_takes_long_goes_on_as_long_as_its_passes_do(rig: Rig) -> None:
    clock = ManualClock()
    health = Health(60.0, clock)
    rig.classifying._channels = channels = Channels(health=health)
    live: list[list[str]] = []

    def sleep(seconds: float) -> None:
        clock.now += seconds
        live.append(health.live())

    rig.classifying._classifier = StubClassifier(milliseconds_per_post=50_000, sleep=sleep)
    _hold(rig, 0)
    channels.batches.put(_batch([_post(0, offset, f"text {offset}") for offset in range(4)]))
    channels.batches.put(None)
    rig.classifying.run()
    assert live == [[]] * 4, "it takes 200 s, and no pass more than 60"
    assert len(channels.inbox) == 1
