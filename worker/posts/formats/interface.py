"""What a format is: how the records of one kind of topic are read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from worker.posts.model import Post, Rejection, Skipped, Withdrawal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from worker.posts.model import Record

Decoded = Post | Withdrawal | Rejection | Skipped
"""What a record may be. `Skipped` alone is no outcome of the ledger."""


@dataclass(frozen=True, slots=True)
class Trace:
    """What may be the identity of a post, in the bytes of a record that was rejected.

    Attributes:
        platform: Where it was posted.
        post_id: Its id there, as `decode` would have given it.
        author_id: Its author's.
    """

    platform: str
    post_id: str
    author_id: str | None


def no_traces(_text: str) -> Iterable[Trace]:
    """For a format whose ids stand in its records as they are: those are found without it."""
    return ()


@dataclass(frozen=True, slots=True)
class Format:
    """A format of records. docs/how-to/write-a-format.md tells how to make one.

    Attributes:
        name: As WORKER_FORMATS names it.
        decode: A record to what it says. It never raises, and depends on nothing but the record,
            never on the wall clock: a replay or a retry decides as the live worker did.
        skips: Each `event` that `decode` gives to `Skipped`, and what it is.
        traces: Which posts a text may be about that was no whole record, or was rejected: those
            whose ids are not in it as they are, but put together from parts. Too many are better
            than too few, for it is by them that dead letters are forgotten. It never raises.
    """

    name: str
    decode: Callable[[Record], Decoded]
    skips: tuple[tuple[str, str], ...] = ()
    traces: Callable[[str], Iterable[Trace]] = no_traces
