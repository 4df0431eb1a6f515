"""The store stage: claims, positions and one transaction a micro-batch, strictly in order."""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Final, Protocol

from worker.errors import ClaimBusyError, StoreUnavailableError
from worker.health import Pulse
from worker.pipeline.channels import Backoff
from worker.pipeline.messages import (
    Ask,
    Beat,
    Claimed,
    Fenced,
    Raised,
    Settle,
    Settled,
    Standings,
    Stored,
    Want,
)
from worker.posts import Rejection
from worker.source import TopicPartition
from worker.store.interface import LabelledBatch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from worker.pipeline.channels import Channels
    from worker.pipeline.messages import Request
    from worker.posts import Record
    from worker.posts.place import Span
    from worker.source.assignment import Assignment
    from worker.store.interface import Store, Written

log = logging.getLogger(__name__)

BUSY_S: Final = 1.0
"""Before a claim that met its old owner's transaction is tried again."""


class LetterBox(Protocol):
    """Where dead letters are also sent, best effort: the table is what counts."""

    def send(self, record: Record, rejection: Rejection) -> None:
        """Takes a letter; never waits and never raises."""
        ...


class StoreStage:
    """The only stage that talks to the store. Runs on a thread of its own.

    Args:
        store: Where labels and positions go.
        group: The consumer group.
        topics: The topics of the stream.
        owner: What claims say of who made them.
        assignment: What is still ours.
        channels: The queues.
        letters: Where dead letters are also sent, once they are stored.
        clock: Seconds, monotonic.
    """

    def __init__(
        self,
        store: Store,
        *,
        group: str,
        topics: Sequence[str],
        owner: str,
        assignment: Assignment,
        channels: Channels,
        letters: LetterBox | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._group = group
        self._topics = topics
        self._owner = owner
        self._assignment = assignment
        self._channels = channels
        self._letters = letters
        self._clock = clock
        # From a blink, as a connection that was cut, to what a database's restart takes.
        self._backoff = Backoff(0.1, 5.0)
        self._last_refused = False
        self._pulse = Pulse()
        self._busy: list[tuple[float, TopicPartition, int]] = []

    def run(self) -> None:
        """Turns until the classify stage is through and nothing is left, or all is abandoned."""
        self._pulse = self._channels.health.pulse("store")
        while not self._channels.abandoned.is_set():
            if not self.turn() and self._channels.stopping.is_set() and self._finished():
                break
        self._channels.health.ended("store")

    def _finished(self) -> bool:
        return self._channels.classified.is_set() and not len(self._channels.inbox)

    def turn(self, timeout_s: float = 0.2) -> bool:
        """Does one thing, as often as it takes; False if there was nothing to do."""
        self._pulse.beat()
        self._put_back_busy()
        work = self._channels.inbox.take(timeout_s)
        if work is None:
            return False
        while not self._channels.abandoned.is_set():
            self._pulse.beat()
            try:
                if isinstance(work, LabelledBatch):
                    self._write(work)
                else:
                    self._answer(work)
            except StoreUnavailableError as error:
                if not self._last_refused:
                    log.warning("the database is away; waiting for it", extra={"error": str(error)})
                self._last_refused = True
                self._channels.health.down("database", str(error))
                self._pulse.wait(self._channels.abandoned, self._backoff.next_s())
                continue
            if self._last_refused:
                log.warning("the database is back")
            self._last_refused = False
            self._channels.health.up("database")
            self._backoff.reset()
            break
        return True

    def _put_back_busy(self) -> None:
        now = self._clock()
        for due, place, token in self._busy:
            if due <= now:
                self._assignment.put_back(place, token)
        self._busy = [busy for busy in self._busy if busy[0] > now]

    def _ours(self, span: Span) -> bool:
        place = TopicPartition.of(span.partition)
        return self._assignment.holds(place, span.epoch)

    def _write(self, batch: LabelledBatch) -> None:
        spans = tuple(span for span in batch.spans if self._ours(span))
        if not spans:
            return
        ours = replace(batch, spans=spans)
        with self._channels.metrics.timed("store"):
            written = self._store.write(ours)
        self._channels.metrics.stored(ours, written)
        if self._letters is not None:
            self._send_letters(self._letters, ours, written)
        fenced = set(written.fenced)
        if written.repeated:
            log.warning(
                "a commit had succeeded whose answer was lost",
                extra={"partitions": [str(span.partition) for span in written.repeated]},
            )
        self._channels.replies.put(Stored(tuple(span for span in spans if span not in fenced)))
        if fenced:
            self._channels.replies.put(Fenced(written.fenced))

    def _send_letters(self, letters: LetterBox, batch: LabelledBatch, written: Written) -> None:
        """Of what was stored now with its bytes: those of a forgotten post go nowhere."""
        for entry in batch.entries:
            if isinstance(entry.decoded, Rejection) and entry.record.ref in written.letters:
                letters.send(entry.record, entry.decoded)

    def _answer(self, request: Request) -> None:
        replies = self._channels.replies
        match request:
            case Want(place, token, partition, siblings):
                if not self._assignment.current(place, token):
                    return
                try:
                    claim = self._store.claim(partition, siblings, self._owner)
                except ClaimBusyError as busy:
                    log.info("a claim waits", extra={"partition": str(partition), "why": str(busy)})
                    # Other partitions' batches go on meanwhile.
                    self._busy.append((self._clock() + BUSY_S, place, token))
                    return
                replies.put(Claimed(place, token, claim))
            case Settle(_, _, claim, offset):
                replies.put(Settled(request, self._store.settle(claim, offset)))
            case Beat(spans):
                current = tuple(span for span in spans if self._ours(span))
                if current and self._store.heartbeat(current) < len(current):
                    self._say_who_is_fenced(current)
                else:
                    replies.put(Raised(current))
            case Ask():
                replies.put(Standings(tuple(self._store.positions(self._group, self._topics))))

    def _say_who_is_fenced(self, spans: Sequence[Span]) -> None:
        """Idle partitions meet no fence but this: somebody may have moved their positions."""
        rows = self._store.positions(self._group, self._topics)
        epochs = {row.partition: row.owner_epoch for row in rows}
        fenced = tuple(span for span in spans if epochs.get(span.partition) != span.epoch)
        if fenced:
            self._channels.replies.put(Fenced(fenced))
