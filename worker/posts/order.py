"""What a post's state is: the maximum, under one total order, of all records seen of it.

Erased over withdrawn over live; then the later version; then the higher generation; ties go to the
smallest `RecordRef`. Withdrawals have no version: the first in tie order stands. The maximum is
commutative and idempotent, so any interleaving of duplicates, edits, withdrawals and replays gives
the same tables. (Erased posts never get here: the store looks them up first.)
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Literal

from worker.posts.model import Post

if TYPE_CHECKING:
    from worker.posts.model import RecordRef, Withdrawal

Verdict = Literal["first", "duplicates", "replaced", "stale", "withdrawn"]
"""What became of one record: the ledger's outcome, where `first` is `labelled` or `unlabelled`."""

_WITHDRAWN: Final = 1
_LIVE: Final = 0
_NO_VERSION: Final = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Standing:
    """The record that stands for a post.

    Attributes:
        ref: The record.
        created_at: The live version's event time, which says where its label lies; None if the
            post is withdrawn.
        version: The live version's; None if the post is withdrawn.
        generation: 0 for live labels, a number of its own for each in-place replay.
    """

    ref: RecordRef
    created_at: datetime | None
    version: datetime | None
    generation: int = 0

    @property
    def live(self) -> bool:
        """Whether the post has a label; else it is withdrawn."""
        return self.version is not None

    def precedes(self, other: Standing) -> bool:
        """Whether this record stands where both were seen. A record does not precede itself."""
        mine, theirs = self._rank(), other._rank()
        return mine > theirs or (mine == theirs and self.ref < other.ref)

    def same_version(self, other: Standing) -> bool:
        """Whether only the tie order decides between the two."""
        return self._rank() == other._rank()

    def _rank(self) -> tuple[int, datetime, int]:
        if self.version is None:
            return (_WITHDRAWN, _NO_VERSION, 0)
        return (_LIVE, self.version, self.generation)


def standing(record: Post | Withdrawal, generation: int = 0) -> Standing:
    """The state of a post of which only `record` was seen, read by `generation`."""
    if isinstance(record, Post):
        return Standing(record.ref, record.created_at, record.version, generation)
    return Standing(record.ref, None, None)


def merge(before: Standing | None, record: Standing) -> tuple[Standing, Verdict]:
    """The state after one more record, and what became of that record.

    The state does not depend on the order of arrival. How the verdicts split does; each record
    has exactly one.
    """
    after = record if before is None or record.precedes(before) else before
    verdict: Verdict
    if not record.live:
        verdict = "withdrawn"
    elif before is None:
        verdict = "first"
    elif record.same_version(before):
        verdict = "duplicates"
    else:
        verdict = "replaced" if after is record else "stale"
    return after, verdict
