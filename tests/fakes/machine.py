"""Several workers on one topic and one database, and everything that may happen to them.

A hypothesis state machine: rules turn the stages of the workers, move the group and make trouble,
in any interleaving; the invariants hold after each. In the end the troubles stop, and every
position must come to its end.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.fakes.broker import MemoryBroker
from tests.fakes.clock import START, ManualClock
from tests.fakes.group import MemoryGroup
from tests.fakes.member import Member
from tests.fakes.oracle import Oracle, Said
from tests.fakes.store import MemoryStore, Tables
from worker.errors import ClaimBusyError, SourceUnavailableError, StoreUnavailableError
from worker.source import TopicPartition

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from tests.fakes.group import Style
    from worker.batching import MicroBatch
    from worker.pipeline.starts import Reset
    from worker.posts.place import Partition
    from worker.store.interface import LabelledBatch

MOST_MEMBERS: Final = 4
MOST_LOGS: Final = 3
"""As often may the topic be made anew."""
IDS: Final = ("a", "b", "c")
MOMENTS: Final = ("settling", "begun", "locked", "committed")
CALLS: Final = ("partition", "bounds", "start", "hold", "poll", "position", "ends", "mirror")
ROUNDS: Final = 120
"""Of a second, in the end: more than the longest wait for a fenced partition, and then some."""

index = st.integers(0, 5)


class Pipelines(RuleBasedStateMachine):
    """The machine; a test gives the style of rebalances, and may take a guard away."""

    style: Style = "cooperative-sticky"

    def make_store(self) -> MemoryStore:
        """A session for a new worker."""
        return MemoryStore(self.tables, wall=self.clock.wall)

    def weaken(self, member: Member) -> None:
        """Where a test takes a guard of the stages away."""

    # The world

    @initialize(
        partitions=st.integers(1, 3),
        posts=st.integers(1, 4),
        linger_s=st.sampled_from([0.0, 0.4]),
        records_a_poll=st.integers(1, 5),
        markers_at_once=st.booleans(),
        reset=st.sampled_from(["earliest", "earliest", "latest"]),
        begun=st.booleans(),
    )
    def begin(
        self,
        partitions: int,
        posts: int,
        linger_s: float,
        records_a_poll: int,
        markers_at_once: bool,
        reset: Reset,
        begun: bool,
    ) -> None:
        self.clock, self.tables, self.broker = ManualClock(), Tables(), MemoryBroker()
        self.coordinator = MemoryGroup(self.broker, self.style)
        self.places = self.broker.make(partitions)
        self.logs = 1
        self.options = {"posts": posts, "linger_s": linger_s, "reset": reset}
        self.reading = (records_a_poll, markers_at_once)
        self.members: list[Member] = []
        self.dead: list[Member] = []
        self.turning: set[Member] = set()
        self.oracle = Oracle()
        self.number = 0
        for _ in range(2):
            self._join()
        self._settle_group()
        for _ in range(3 * begun):
            self.everybody_works()
            for number in range(partitions):
                self.append(number, [("post", IDS[number], number)])

    def _join(self, targets: Mapping[Partition, int] | None = None) -> Member:
        self.number += 1
        member = Member(
            self.broker,
            self.tables,
            self.clock,
            owner=f"worker {self.number}",
            store=self.make_store(),
            targets=targets,
            **self.options,  # type: ignore[arg-type]
        )
        member.source.records_a_poll, member.source.markers_at_once = self.reading
        member.source.names_lost = bool(self.number % 2)
        member.store.watch = lambda batch: self._ours(member, batch, "the store writes")
        self.weaken(member)
        self.members.append(member)
        self.coordinator.join(member.source)
        return member

    def _ours(
        self,
        member: Member,
        batch: LabelledBatch | MicroBatch,
        what: str,
        before: Mapping[TopicPartition, int] | None = None,
    ) -> None:
        for span in batch.spans:
            place = TopicPartition.of(span.partition)
            held = member.assignment.holds(place, span.epoch)
            was_held = before is not None and before.get(place) == span.epoch
            assert held or was_held, f"{what} what is no longer ours: {span}"

    def _settle_group(self, deaf: Collection[Member] = ()) -> None:
        """All that the group knows hear what there is; zombies do not."""
        for _ in range(6):
            for member in self.members:
                if member.source in self.coordinator.members and member not in deaf:
                    self.coordinator.hear(member.source)

    def _member(self, number: int) -> Member:
        return self.members[number % len(self.members)]

    def _place(self, number: int) -> TopicPartition:
        return self.places[number % len(self.places)]

    # What the workers do

    @rule(number=index)
    def poll(self, number: int) -> None:
        self._poll(self._member(number))

    def _poll(self, member: Member) -> None:
        undisturbed = not member.source.before
        # What the turn itself gives up, as for a topic made anew, it may have handed on before.
        epochs = dict(member.assignment._epochs)
        handed_on = member.channels.batches.queue
        before = [id(batch) for batch in (*handed_on, *member.poll._backlog)]
        with suppress(SourceUnavailableError):
            member.poll.turn()
        for batch in (*handed_on, *member.poll._backlog):
            if undisturbed and id(batch) not in before:
                assert batch is not None
                self._ours(member, batch, "the poll stage hands on", epochs)

    @rule(number=index)
    def classify(self, number: int) -> None:
        self._classify(self._member(number))

    def _classify(self, member: Member) -> None:
        before = len(member.channels.inbox._batches)
        member.classify()
        if len(member.channels.inbox._batches) > before:
            self._ours(member, member.channels.inbox._batches[-1], "the classify stage hands on")

    @rule(number=index)
    def store(self, number: int) -> None:
        self._store(self._member(number))

    def _store(self, member: Member) -> None:
        self.turning.add(member)
        try:
            member.storing.turn(0)
        finally:
            self.turning.discard(member)

    @rule(number=index, rounds=st.integers(1, 4))
    def turn(self, number: int, rounds: int) -> None:
        self._turn(self._member(number), rounds)

    def _turn(self, member: Member, rounds: int = 1) -> None:
        for _ in range(rounds):
            self._poll(member)
            for _ in range(2):
                self._store(member)
                self._classify(member)
            self._store(member)
            self.clock.now += 0.1

    # What happens most is there more than once: hypothesis chooses among the rules evenly.

    @rule()
    def everybody_works(self) -> None:
        for member in self.members:
            self._turn(member)

    @rule(rounds=st.integers(1, 3))
    def news(self, rounds: int) -> None:
        """Records everywhere, some of them read."""
        for number in range(len(self.places)):
            self.append(number, [("post", IDS[number], number), ("post", IDS[rounds - 1], rounds)])
        for member in self.members:
            self._poll(member)

    @rule(number=index)
    def read_and_label(self, number: int) -> None:
        """Everything but the store."""
        self._poll(self._member(number))
        self._classify(self._member(number))

    @rule(seconds=st.sampled_from([0.5, 1.0, 6.0, 20.0]))
    def time(self, seconds: float) -> None:
        self.clock.now += seconds

    # What happens to the group

    @rule(what=st.sampled_from(["join", "stop", "kill", "expire", "rebalance"]), number=index)
    def group(self, what: str, number: int) -> None:
        if what == "rebalance":
            self.coordinator.rebalance()
        else:
            getattr(self, what)(number)

    def join(self, _: int = 0) -> None:
        if len(self.members) < MOST_MEMBERS:
            self._join()

    def stop(self, number: int) -> None:
        """As on SIGTERM: what was read is stored, then the member leaves."""
        if len(self.members) == 1:
            return
        member = self._member(number)
        for _ in range(50):
            member.poll.finish()
            self._classify(member)
            self._store(member)
            if member.poll.idle and member.channels.batches.empty():
                break
        while len(member.channels.inbox):
            self._store(member)
        member.poll.finish()
        with suppress(SourceUnavailableError):
            member.poll.mirror()
        self.members.remove(member)
        self.coordinator.leave(member.source)

    def kill(self, number: int) -> None:
        if len(self.members) == 1:
            return
        member = self._member(number)
        self.members.remove(member)
        self.dead.append(member)

    def expire(self, number: int) -> None:
        """The session of one is over, dead or alive: the living one is a zombie until it hears."""
        everyone = [*self.dead, *self.members]
        self.coordinator.expire(everyone[number % len(everyone)].source)

    @rule(number=index)
    def pass_over(self, number: int) -> None:
        """One is put out and not told; the others get what it had, and go on with it."""
        zombie = self._member(number)
        self.coordinator.expire(zombie.source)
        self._settle_group()
        for member in self.members:
            if member is not zombie:
                self._turn(member, 3)

    @rule(number=index)
    def hear(self, number: int) -> None:
        self.coordinator.hear(self._member(number).source)

    @rule(number=index)
    def lose_all_with_work_under_way(self, number: int) -> None:
        """The session is over, and the member hears that before its store stage comes to turn."""
        member = self._member(number)
        self.news(1)
        self._poll(member)
        self._classify(member)
        self.coordinator.expire(member.source)
        self.coordinator.hear(member.source)
        self._store(member)

    @rule(number=index, call=st.sampled_from(CALLS))
    def hear_within(self, number: int, call: str) -> None:
        """The same in the middle of a turn of the poll stage."""
        member = self._member(number)
        member.source.before[call] = lambda: self.coordinator.hear(member.source)

    @rule()
    def everybody_hears(self) -> None:
        self.coordinator.notice()
        self._settle_group()

    # What happens to the logs

    @rule(
        number=index,
        posts=st.lists(
            st.tuples(
                st.sampled_from(["post", "post", "post", "withdrawal", "garbage"]),
                st.sampled_from(IDS),
                st.integers(0, 3),
            ),
            min_size=1,
            max_size=6,
        ),
    )
    def append(self, number: int, posts: list[tuple[str, str, int]]) -> None:
        for said in posts:
            kind, post_id, version = said
            # Withdrawals have no version: the first in tie order stands.
            told = Said(kind, post_id, version if kind == "post" else 0)
            self._say(self._place(number), told)

    def _say(self, place: TopicPartition, said: Said) -> None:
        created = START + timedelta(seconds=said.version)
        post = {
            "id": said.post_id,
            "text": f"{said.post_id} {said.version}",
            "created_at": created.isoformat(),
        }
        key = f"{place.topic}:{said.post_id}".encode()
        value = {"post": post, "withdrawal": None, "garbage": b"{"}[said.kind]
        self.oracle.said[self.broker.put(place, value, key=key).ref] = said

    @rule(what=st.sampled_from(["gap", "compact", "cut", "make_anew"]), number=index, count=index)
    def log(self, what: str, number: int, count: int) -> None:
        getattr(self, what)(number, count)

    def gap(self, number: int, count: int) -> None:
        self.broker.skip(self._place(number), count)

    def compact(self, number: int, which: int) -> None:
        place = self._place(number)
        records = list(self.broker.logs[place].records.values())
        if records:
            ref = records[-1 - which % len(records)].ref
            self.broker.compact(place, ref.offset)
            self.oracle.removed.add(ref)

    def cut(self, number: int, left: int) -> None:
        place = self._place(number)
        log = self.broker.logs[place]
        first = max(log.first, log.end - left)
        self.oracle.removed |= {record.ref for o, record in log.records.items() if o < first}
        self.broker.cut(place, first)

    def make_anew(self, partitions: int, _: int) -> None:
        if self.logs == MOST_LOGS:
            return
        self.logs += 1
        self.oracle.removed |= {
            r.ref for log in self.broker.logs.values() for r in log.records.values()
        }
        self.places = self.broker.make(1 + partitions % 3, topic_id=self.logs)
        self.broker.commits.clear()

    # What happens to broker and database

    @rule(number=index, call=st.sampled_from(["bounds", "committed", "ends", "poll"]))
    def broker_away(self, number: int, call: str) -> None:
        self._member(number).source.away[call] += 1

    @rule(number=index, what=st.sampled_from(["away", "busy", "lost"]))
    def database(self, number: int, what: str) -> None:
        store = self._member(number).store
        setattr(store, what, getattr(store, what) + 1)

    @rule(number=index)
    def a_zombie_claims(self, number: int) -> None:
        """One that nobody knows any more, after it stood still for long."""
        partition = self.broker.partition_at(self._place(number))
        with suppress(ClaimBusyError):
            self.make_store().claim(partition, len(self.places), "a zombie")

    @rule(number=index, moment=st.sampled_from(MOMENTS), lost=st.booleans(), expired=st.booleans())
    def stall(self, number: int, moment: str, lost: bool, expired: bool) -> None:
        """A worker stands still in or before its next transaction while the others go on.

        It may be put out of the group meanwhile, and its session may be gone when it wakes up: then
        what it had begun is rolled back, or committed and not answered.
        """
        member = self._member(number)

        def meanwhile() -> None:
            if expired:
                self.coordinator.expire(member.source)
            for _ in range(3):
                self._settle_group(self.turning)
                for other in self.members:
                    if other not in self.turning:
                        self._turn(other, 2)
            if lost:
                raise StoreUnavailableError("the session is gone")

        member.store.meanwhile[moment] = meanwhile

    @rule(
        number=index, moment=st.sampled_from([*MOMENTS, "locked", "settling"]), lost=st.booleans()
    )
    def stall_at_work(self, number: int, moment: str, lost: bool) -> None:
        """The same with work that it meets at once."""
        self._turn(self._member(number), 2)
        self.stall(number, moment, lost, expired=True)
        self.news(1)
        if moment == "settling":
            # A position is settled where none was, or where it was lost.
            for place in range(len(self.places)):
                self.append(place, [("post", "a", 1)])
                self.cut(place, 0)
                self.append(place, [("post", "b", 1)])
        self._turn(self._member(number), 4)

    # What must hold

    @invariant()
    def nothing_is_lost_or_counted_twice(self) -> None:
        self.oracle.read(self.tables.journal)
        self.oracle.check_the_ledger(self.tables)

    @invariant()
    def what_stands_is_the_maximum(self) -> None:
        self.oracle.check_what_stands(self.tables)

    @invariant()
    def positions_and_epochs_go_on(self) -> None:
        self.oracle.check_positions(self.tables)

    # The end

    def teardown(self) -> None:
        if sys.exc_info()[0] is None and self.members:
            self.all_is_well_again()

    def all_is_well_again(self) -> None:
        """The troubles stop, and one more worker comes, with `--drain`."""
        for member in self.dead:
            self.coordinator.expire(member.source)
        for member in self.members:
            member.source.away.clear()
            member.source.before.clear()
            member.store.meanwhile.clear()
            member.store.away = member.store.busy = member.store.lost = 0
        self.coordinator.notice()
        targets = {self.broker.partition_at(p): self.broker.logs[p].end for p in self.places}
        drainer = self._join(targets)
        for _ in range(ROUNDS):
            for member in self.members:
                self.coordinator.hear(member.source)
                self._turn(member)
            self.clock.now += 1.0
            self.nothing_is_lost_or_counted_twice()
            self.what_stands_is_the_maximum()
            self.positions_and_epochs_go_on()
            if drainer.poll.drained and self._positions() == targets and self.coordinator.settled:
                break
        assert self.coordinator.settled, "the test's own group comes to rest"
        assert self._positions() == targets, "every position is at its end in the end"
        assert drainer.poll.drained

    def _positions(self) -> dict[Partition, int | None]:
        rows = self.tables.positions["group"]
        return {partition: row.next_offset for partition, row in rows.items() if not row.retired}
