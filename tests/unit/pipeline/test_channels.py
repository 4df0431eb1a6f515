from __future__ import annotations

import time
from threading import Thread
from uuid import UUID

from worker.pipeline.channels import Backoff, Every, StoreInbox
from worker.pipeline.messages import Ask, Beat, Want
from worker.posts.place import Partition, Span
from worker.source import TopicPartition
from worker.store.interface import LabelledBatch

PARTITION = Partition("posts", UUID(int=1), 0)


def _batch(start: int) -> LabelledBatch:
    return LabelledBatch((Span(PARTITION, 1, start, start + 1, None),), (), 1)


def test_requests_go_before_batches_each_in_its_order() -> None:
    inbox = StoreInbox(bound=3)
    beat, ask = Beat(()), Ask()
    batches = [_batch(start) for start in range(3)]
    assert inbox.put(batches[0], 0)
    inbox.ask(beat)
    assert inbox.put(batches[1], 0)
    inbox.ask(ask)
    assert inbox.put(batches[2], 0)

    assert len(inbox) == 5
    taken = [inbox.take(0) for _ in range(5)]

    assert taken[0] is beat
    assert taken[1] is ask
    assert taken[2:] == batches
    assert len(inbox) == 0


def test_nothing_to_take() -> None:
    inbox = StoreInbox()
    began = time.monotonic()
    assert inbox.take(0.05) is None
    assert time.monotonic() - began >= 0.05


def test_batches_are_bounded_requests_are_not() -> None:
    inbox = StoreInbox(bound=2)
    assert inbox.put(_batch(0), 0)
    assert inbox.put(_batch(1), 0)
    began = time.monotonic()
    assert not inbox.put(_batch(2), 0.05)
    assert time.monotonic() - began >= 0.05
    wants = [Want(TopicPartition("posts", n), n, PARTITION, 5) for n in range(5)]
    for want in wants:
        inbox.ask(want)
    assert len(inbox) == 7

    assert [inbox.take(0) for _ in range(5)] == wants
    assert not inbox.put(_batch(2), 0), "taking requests makes no room"
    assert inbox.take(0) == _batch(0)
    assert inbox.put(_batch(2), 0)
    assert [inbox.take(0), inbox.take(0)] == [_batch(1), _batch(2)]


def test_of_what_comes_by_the_clock_only_the_newest_waits() -> None:
    inbox = StoreInbox()
    want = Want(TopicPartition("posts", 0), 1, PARTITION, 1)
    beats = [Beat((Span(PARTITION, 1, end, end, None),)) for end in range(3)]
    for request in (beats[0], Ask(), want, beats[1], Ask(), beats[2]):
        inbox.ask(request)
    assert [inbox.take(0) for _ in range(len(inbox))] == [want, Ask(), beats[2]]


def test_a_waiting_put_goes_on_when_a_batch_is_taken() -> None:
    inbox = StoreInbox(bound=1)
    assert inbox.put(_batch(0), 0)
    done: list[bool] = []
    thread = Thread(target=lambda: done.append(inbox.put(_batch(1), 10)))
    thread.start()
    assert inbox.take(0) == _batch(0)
    thread.join(10)
    assert done == [True]
    assert inbox.take(0) == _batch(1)


def test_a_waiting_take_goes_on_when_something_comes() -> None:
    inbox = StoreInbox()
    taken: list[object] = []
    thread = Thread(target=lambda: taken.append(inbox.take(10)))
    thread.start()
    inbox.ask(Ask())
    thread.join(10)
    assert taken == [Ask()]


def test_backoff_doubles_up_to_its_most() -> None:
    backoff = Backoff(0.5, 3.0)
    assert [backoff.next_s() for _ in range(5)] == [0.5, 1.0, 2.0, 3.0, 3.0]
    backoff.reset()
    assert backoff.next_s() == 0.5


def test_every_is_due_at_once_and_then_after_its_seconds() -> None:
    now = 10.0
    every = Every(2.0, lambda: now)
    assert every.due()
    assert not every.due()
    now = 11.9
    assert not every.due()
    now = 15.0
    assert every.due()
    now = 16.9
    assert not every.due(), "what was missed is not made up for"
    now = 17.0
    assert every.due()
    every.soon()
    assert every.due(), "it could not be done"
    assert not every.due()
