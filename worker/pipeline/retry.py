"""Dead letters once more: after a fix, each becomes a post, counts once, and is settled at once."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol
from uuid import UUID

from worker.batching import Item
from worker.errors import ClaimBusyError, DependencyError, WorkerError
from worker.posts import Skipped
from worker.posts.decode import decode as decode_post
from worker.posts.place import Partition, Span
from worker.posts.rejections import UnfitError
from worker.store.interface import LabelledBatch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from worker.posts import Record
    from worker.posts.formats import Decoded
    from worker.store.dead_letters import Letter
    from worker.store.interface import Claim, Entry, Written

RETRY: Final = Partition("@retry", UUID(int=0), 0)
"""The ledger row where retried dead letters are counted: where they lay, they were counted too."""
CLAIM_S: Final = 20.0
"""Longer than a frozen retry's transaction is left alone."""


class Ledger(Protocol):
    """What a retry needs of the store."""

    def claim(self, partition: Partition, siblings: int, owner: str) -> Claim:
        """See `Store.claim`."""
        ...

    def settle(self, claim: Claim, offset: int) -> bool:
        """See `Store.settle`."""
        ...

    def write(self, batch: LabelledBatch) -> Written:
        """See `Store.write`."""
        ...


@dataclass(frozen=True, slots=True)
class Retried:
    """What came of a page of dead letters.

    Attributes:
        outcomes: As in the ledger; `dead_lettered` are rejected still.
        without_bytes: How many were passed over, as their bytes are not kept.
        settled: How many another hand had settled meanwhile.
    """

    outcomes: Counter[str]
    without_bytes: int
    settled: int


class Retry:
    """Retries dead letters, a page in each transaction: stored and settled, or neither.

    Args:
        store: Of the group that the retry is counted for.
        label: Labels posts, as the classify stage does.
        model_id: The classifier's row.
        owner: What the claim says of who made it.
        decode: Reads records, by their topics' formats.
    """

    def __init__(
        self,
        store: Ledger,
        label: Callable[[Sequence[Item]], Sequence[Entry]],
        *,
        model_id: int,
        owner: str,
        decode: Callable[[Record], Decoded] = decode_post,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._store = store
        self._label = label
        self._model_id = model_id
        self._decode = decode
        self._clock = clock
        self._sleep = sleep
        claim = self._claim(owner)
        self._epoch = claim.epoch
        if claim.next_offset is None and not store.settle(claim, 0):
            raise _taken_over()
        self._position = claim.next_offset or 0

    def turn(self, letters: Iterable[Letter]) -> Retried:
        """Retries one page.

        Raises:
            WorkerError: Another retry of this group began; it goes on with what is left.
        """
        kept = list(letters)
        found = [letter for letter in kept if letter.retriable]
        without = len(kept) - len(found)
        if not found:
            return Retried(Counter(), without, 0)
        entries = self._label([self._item(one.record()) for one in found])
        end = self._position + len(found)
        written = self._store.write(
            LabelledBatch(
                spans=(Span(RETRY, self._epoch, self._position, end, None),),
                entries=tuple(entries),
                model_id=self._model_id,
                ledger=RETRY,
                letters=tuple(letter.id for letter in found),
            )
        )
        if written.fenced:
            raise _taken_over()
        self._position = end
        outcomes = Counter(written.outcomes.get(RETRY, {}))
        return Retried(outcomes, without, len(found) - outcomes.total())

    def _item(self, record: Record) -> Item:
        decoded = self._decode(record)
        if isinstance(decoded, Skipped):
            # It was counted when it was read, so that it cannot be a gap any more.
            decoded = UnfitError(
                "not_a_post",
                "By its topic's format it is about no post: drop it.",
                cause="event",
            ).rejection(record.ref)
        return Item(record, decoded)

    def _claim(self, owner: str) -> Claim:
        deadline = self._clock() + CLAIM_S
        while True:
            try:
                return self._store.claim(RETRY, 1, owner)
            except ClaimBusyError as busy:
                if self._clock() > deadline:
                    raise DependencyError(
                        f"Another retry of this group holds its ledger: {busy}. Try again."
                    ) from None
                self._sleep(0.2)


def _taken_over() -> WorkerError:
    return WorkerError(
        "Another `dead-letters retry` of this group began meanwhile. What this one had done is "
        "stored; the other one goes on."
    )
