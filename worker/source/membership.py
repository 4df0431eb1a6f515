"""A consumer's membership of its group: the way in, and the way out.

What is here mends what kafka-python 3.0.12 forgets, and what the embedded broker (Tansu) gets
wrong: where a group's leader leaves while the group is formed anew, that broker goes on naming it
as the leader for ever, and whoever joins waits for an assignment that nobody will make.
"""

from __future__ import annotations

import logging
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from kafka import errors
from kafka.protocol.admin.groups import DescribeGroupsRequest
from kafka.protocol.consumer import LeaveGroupRequest
from kafka.structs import MemberState

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger(__name__)

LEAVE_S: Final = 0.5
"""For the broker to answer what a member that leaves asks of it."""
DESCRIBE_S: Final = 2.0
"""For it to say who the members are: it has that in memory."""
MOST_DOUBLINGS: Final = 3
"""Of the patience with a join, from one new consumer to the next: they must not keep a group that
is slow for good reasons from ever coming to rest."""


class Membership:
    """A member's place in its group. Used from the thread that polls.

    A join may take long for good reasons: the broker answers JoinGroup once all members have
    joined, or the slowest one's time for that is over (its max.poll.interval), and SyncGroup within
    as long again (KAFKA-12890, since Kafka 3.0); a member that died is waited for until its session
    expires. What takes longer than all three is not waited for any more.

    Args:
        group: The group's name.
        session_s: WORKER_KAFKA_SESSION_TIMEOUT_MS, in seconds.
        round_s: Seconds that a rebalance may wait for a member.
        clock: Seconds, monotonic; the library's own is `time.monotonic`.
    """

    def __init__(
        self,
        group: str,
        *,
        session_s: float,
        round_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._group = group
        self._session_s = session_s
        self._round_s = round_s
        self._most_s = 2 * round_s + session_s
        self._clock = clock
        self._consumer: Any = None
        self._joined = False
        self._since: float | None = None
        self._last_look = 0.0
        self._doublings = 0
        self._named: tuple[str, float] | None = None
        self._looked: tuple[str, float] | None = None
        self._missing: tuple[str, float] | None = None

    def attach(self, consumer: Any) -> None:  # noqa: ANN401
        """Goes on with another consumer of kafka-python; with the first one, begins."""
        if self._consumer is not None:
            self._doublings = min(self._doublings + 1, MOST_DOUBLINGS)
        self._consumer = consumer
        self._since = self._named = self._looked = self._missing = None
        coordinator = consumer._coordinator  # noqa: SLF001 - no public door, nor to what follows
        process = coordinator._process_join_group_response  # noqa: SLF001
        join = coordinator._do_join_and_sync_async  # noqa: SLF001
        kept: list[bytes] = []

        def answered(response: Any, sent_at: float) -> Any:  # noqa: ANN401
            self._answered(response, sent_at)
            return process(response, sent_at)

        async def joined() -> bytes:
            # A join that ends between two polls is begun again by the second one: its assignment
            # would never be taken in, and who polls in step with the broker would never read.
            # The state leaves REBALANCING once it is taken in, or counts no more.
            if not (kept and coordinator.state is MemberState.REBALANCING):
                kept.clear()
                kept.append(await join())
            return kept[0]

        coordinator._process_join_group_response = answered  # noqa: SLF001
        coordinator._do_join_and_sync_async = joined  # noqa: SLF001

    def joined(self) -> bool:
        """See `Source.joined`.

        The listener does not say: with the cooperative protocol kafka-python 3.0.12 calls it only
        where partitions are added.
        """
        state = self._state()
        # Joining again, as others come and go, is no reason to have left.
        if state is not MemberState.REBALANCING:
            self._joined = state is MemberState.STABLE
        return self._joined

    def rejoin(self) -> None:
        """See `Source.rejoin`."""
        self._coordinator.request_rejoin()

    def look(self) -> str | None:
        """Sees to a join that is under way; call it before each poll.

        Returns:
            What was done, where something had to be; None most of the time.
        """
        self._finish_join()
        if self._state() is MemberState.STABLE:
            self._since, self._missing, self._doublings = None, None, 0
            return None
        now = self._clock()
        if self._since is None:
            self._since = now
        elif (
            now - self._last_look > self._round_s
        ):  # no poll takes so long: the process was stopped
            self._since += now - self._last_look - self._round_s
        self._last_look = now
        # A leader that lives has joined within its session timeout, or is put out by then.
        if now - self._since > self._session_s:
            return self._look_for_leader()
        return None

    @property
    def overdue_s(self) -> float | None:
        """For how long it has been joining, seconds, if that is longer than any join may take."""
        if self._since is None:
            return None
        passed = self._clock() - self._since
        return passed if passed > self._most_s * 2**self._doublings else None

    def wait_on(self) -> None:
        """Has as much patience again: nothing else could be tried."""
        self._since = None

    def settle(self, deadline: float) -> None:
        """Ends a rebalance that is under way before the group is left, until `deadline` at most.

        Leaving waits behind a join that is under way; a group whose leader leaves before it has
        said who reads what has to wait for its session to expire, and on the embedded broker for
        ever. So end the join first: the leader asks whether one has begun that it has not heard of.

        Args:
            deadline: By `clock`.
        """
        try:
            before = self._generation() if self._leads_a_rebalance() else None
            me = self._me()
            while (
                self._clock() < deadline - LEAVE_S
                and (self._state() is MemberState.REBALANCING or before == self._generation())
                and self._me() == me  # the group has put it out: there is nothing to end
            ):
                # Not the consumer's poll: after a batch that cannot be read that one never ends.
                self._coordinator.poll(timeout_ms=50)
        except Exception:
            log.debug("a rebalance could not be ended before leaving", exc_info=True)
        self.leave()

    def leave(self) -> None:
        """Leaves a group that is still being formed, which the library's `close` would wait for.

        A broker answers nothing else on a connection on which a join waits, and does not expire
        who waits for one: the member would stay, and perhaps lead, after this process has ended.
        """
        coordinator = self._coordinator
        node, me = self._node(), self._me()
        if (
            self._state() is not MemberState.REBALANCING
            or not (me and coordinator.is_dynamic_member())
            or node is None
        ):
            return
        identity = LeaveGroupRequest.MemberIdentity(
            member_id=me, group_instance_id=None, reason="the consumer is being closed"
        )
        request = LeaveGroupRequest(group_id=self._group, member_id=me, members=[identity])
        manager = self._consumer._manager  # noqa: SLF001
        try:
            self._ask(lambda: manager.send(request, node_id=node), LEAVE_S)
            coordinator.reset_generation()
        except Exception:
            log.debug("the group could not be left during a join", exc_info=True)

    @property
    def _coordinator(self) -> Any:  # noqa: ANN401
        return self._consumer._coordinator  # noqa: SLF001 - no public door

    def _state(self) -> MemberState:
        state: MemberState = self._consumer.group_metadata().state
        return state

    def _generation(self) -> int:
        generation: int = self._consumer.group_metadata().generation_id
        return generation

    def _finish_join(self) -> None:
        """Makes the library go on with a join that it has begun and forgotten.

        Where the leader sees a topic's partitions change, kafka-python 3.0.12 rejoins only because
        two snapshots of the metadata differ. A poll that ends before the join does leaves it under
        way; the join makes the snapshots equal, and no later poll asks for its result: the member
        never learns its assignment, and its heartbeats stay off.
        """
        if self._coordinator.rejoining and not self._coordinator.rejoin_needed:
            self.rejoin()

    def _answered(self, response: Any, sent_at: float) -> None:  # noqa: ANN401
        """On the I/O thread: who leads, as far as the broker says."""
        follows = not response.error_code and response.leader != response.member_id
        self._named = (response.leader, sent_at) if follows else None

    def _look_for_leader(self) -> str | None:
        """Takes the place of a leader that is none of the members; the first of them does.

        It was none of them before the broker was asked to let us join, and was named in the answer:
        with Apache Kafka that is only so of a static leader that came back, for an instant. Only
        its id can free the group; a broker that does not know it refuses it, and the library joins
        under a new one. A static member would be fenced.
        """
        named = self._named
        if named is None or named is self._looked or not self._coordinator.is_dynamic_member():
            return None
        self._looked = named
        asked_at, members = self._clock(), self._members()
        if members is None:
            return None
        leader, named_at = named
        if leader in members:
            self._missing = None
            return None
        if self._missing is None or self._missing[0] != leader:
            self._missing = (leader, asked_at)
            return None
        if named_at < self._missing[1] or self._me() != min(members, default=""):
            return None
        self._missing = None
        self._coordinator.reset_generation(member_id=leader)
        return "the group's leader is none of its members: this one takes its place"

    def _me(self) -> str:
        me: str = self._consumer.group_metadata().member_id
        return me

    def _members(self) -> set[str] | None:
        """Their ids, as the broker knows them now; None if it did not say."""
        node = self._node()
        if node is None:
            return None
        manager = self._consumer._manager  # noqa: SLF001
        request = DescribeGroupsRequest(groups=[self._group], include_authorized_operations=False)
        try:
            answer = self._ask(lambda: manager.send(request, node_id=node), DESCRIBE_S)
        except errors.KafkaError:
            return None
        (found,) = answer.groups
        return None if found.error_code else {member.member_id for member in found.members}

    def _node(self) -> int | None:
        """The coordinator's broker; on its own connection an answer would wait behind the join."""
        node = str(self._coordinator.coordinator_id or "").rpartition("-")[2]
        return int(node) if node.isdecimal() else None

    def _leads_a_rebalance(self) -> bool:
        """Whether this member leads a group that is being formed anew; asks the broker."""
        coordinator = self._coordinator
        if not coordinator._is_leader or self._state() is not MemberState.STABLE:  # noqa: SLF001
            return False
        heartbeat = coordinator._send_heartbeat_request  # noqa: SLF001
        with suppress(errors.KafkaError):
            self._ask(lambda: self._consumer._manager.call_soon(heartbeat), LEAVE_S)  # noqa: SLF001
        return bool(coordinator.rejoin_needed) and self._state() is MemberState.STABLE

    def _ask(self, send: Callable[[], Any], timeout_s: float) -> Any:  # noqa: ANN401
        """Sends on the library's I/O thread, and waits for the answer.

        Raises:
            KafkaError: There was none in time, or an error.
        """
        manager = self._consumer._manager  # noqa: SLF001

        async def ask() -> Any:  # noqa: ANN401
            return await manager.wait_for(send(), round(timeout_s * 1_000))

        return self._consumer._net.run(ask)  # noqa: SLF001
