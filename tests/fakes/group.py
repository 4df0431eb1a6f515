"""A consumer group's coordinator, turned by hand: who is told what, and when, is the test's choice.

A rebalance has two rounds, as in Kafka: every member joins (with the eager protocol it gives up all
that it has first), then each is told its share. A member hears of either only when the test lets
it; one that the group has put out reads on until it hears that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.fakes.broker import MemoryBroker
    from tests.fakes.source import MemorySource
    from worker.source import TopicPartition

Style = Literal["cooperative-sticky", "range"]


class MemoryGroup:
    """Assigns the broker's partitions to the members.

    Args:
        broker: Whose partitions.
        style: WORKER_ASSIGNOR: `range` is eager.
        topic: What it reads; None: all that there is.

    Attributes:
        members: Those that the group knows, in the order in which they came.
        rebalances: How many were completed.
    """

    def __init__(self, broker: MemoryBroker, style: Style, topic: str | None = None) -> None:
        self._broker = broker
        self._topic = topic
        self._style = style
        self.members: list[MemorySource] = []
        self.rebalances = 0
        self._joined: set[MemorySource] = set()
        self._shares: dict[MemorySource, set[TopicPartition]] = {}
        self._places: set[TopicPartition] = set()

    def join(self, member: MemorySource) -> None:
        """A new member asks to be let in."""
        member.expelled = False
        self.members.append(member)
        self.rebalance()

    def leave(self, member: MemorySource) -> None:
        """A member goes and says so."""
        member.revoke(list(member.positions))
        self.expire(member)

    def expire(self, member: MemorySource) -> None:
        """A member is put out, and is not told."""
        if member in self.members:
            self.members.remove(member)
            member.expelled = True
            self.rebalance()

    def rebalance(self) -> None:
        """All have to join again."""
        self._joined, self._shares = set(), {}
        self._places = self._all()

    def _all(self) -> set[TopicPartition]:
        return {place for place in self._broker.logs if self._topic in {None, place.topic}}

    @property
    def settled(self) -> bool:
        """Whether everybody has heard everything, and every partition is somebody's."""
        owned = [place for member in self.members for place in member.positions]
        return (
            self._joined == set(self.members)
            and not self._shares
            and self._places == self._all()
            and sorted(owned) == sorted(self._places)
        )

    def notice(self) -> None:
        """The leader looks at the topic: its number of partitions may be another."""
        if self._places != self._all():
            self.rebalance()

    def hear(self, member: MemorySource) -> None:
        """What the coordinator has for a member reaches it, if there is anything."""
        if member not in self.members:
            member.revoke(list(member.positions))
            member.in_group = False
            self.join(member)
        elif member not in self._joined:
            if self._style == "range" and member.positions:
                member.revoke(list(member.positions))
            self._joined.add(member)
            if self._joined == set(self.members):
                self._share_out()
        elif member in self._shares:
            self._take(member, self._shares.pop(member))

    def _take(self, member: MemorySource, share: set[TopicPartition]) -> None:
        had = set(member.positions)
        if gone := had - share:
            member.revoke(sorted(gone))
            # What was given up can be given to its new owner only now.
            self.rebalance()
        member.assign(sorted(share - had))

    def _share_out(self) -> None:
        self.rebalances += 1
        share_of = _sticky if self._style == "cooperative-sticky" else _range
        self._shares = dict(share_of(self.members, sorted(self._places)))


def _range(
    members: list[MemorySource], places: list[TopicPartition]
) -> Mapping[MemorySource, set[TopicPartition]]:
    return {member: set(places[number :: len(members)]) for number, member in enumerate(members)}


def _sticky(
    members: list[MemorySource], places: list[TopicPartition]
) -> Mapping[MemorySource, set[TopicPartition]]:
    """Everyone keeps what it has up to its fair share; what others have yet is not given away."""
    least, more = divmod(len(places), len(members))
    shares: dict[MemorySource, set[TopicPartition]] = {}
    free = [p for p in places if not any(p in member.positions for member in members)]
    for number, member in enumerate(members):
        room = least + (number < more)
        kept = sorted(set(member.positions) & set(places))[:room]
        shares[member] = {*kept, *free[: room - len(kept)]}
        free = free[room - len(kept) :]
    return shares
