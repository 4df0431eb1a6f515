"""What the stages say to each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from worker.posts.place import Partition, Span
    from worker.source import TopicPartition
    from worker.store.interface import Claim, Position


@dataclass(frozen=True, slots=True)
class Want:
    """Poll to store: claim this partition."""

    place: TopicPartition
    token: int
    partition: Partition
    siblings: int


@dataclass(frozen=True, slots=True)
class Settle:
    """Poll to store: begin the claimed partition at `offset`."""

    place: TopicPartition
    token: int
    claim: Claim
    offset: int


@dataclass(frozen=True, slots=True)
class Beat:
    """Poll to store: these partitions were idle, read to their end."""

    spans: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class Ask:
    """Poll to store: where does the group stand?"""


Request = Want | Settle | Beat | Ask


@dataclass(frozen=True, slots=True)
class Claimed:
    """Store to poll: the answer to `Want`."""

    place: TopicPartition
    token: int
    claim: Claim


@dataclass(frozen=True, slots=True)
class Settled:
    """Store to poll: the answer to `Settle`; not moved means that somebody claimed after us."""

    request: Settle
    moved: bool


@dataclass(frozen=True, slots=True)
class Stored:
    """Store to poll: these spans stand in the store, just now or before."""

    spans: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class Fenced:
    """Store to poll: another owner's claim kept these out."""

    spans: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class Raised:
    """Store to poll: the answer to `Beat`; these watermarks stand."""

    spans: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class Standings:
    """Store to poll: the answer to `Ask`."""

    positions: tuple[Position, ...]


Reply = Claimed | Settled | Stored | Fenced | Raised | Standings
