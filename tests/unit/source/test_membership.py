"""Ways into a group and out of it that kafka-python and brokers do not see to the end."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from kafka import errors
from kafka.protocol.consumer import LeaveGroupRequest
from kafka.structs import ConsumerGroupMetadata, MemberState

from tests.fakes.clock import ManualClock
from worker.source.membership import MOST_DOUBLINGS, Membership

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

SESSION_S, ROUND_S = 6.0, 30.0
MOST_S = 2 * ROUND_S + SESSION_S


class _Coordinator:
    """What of kafka-python's there is, and whom a broker takes for members."""

    def __init__(self) -> None:
        self.rejoining = self.rejoin_needed = self._is_leader = False
        self.coordinator_id: str | None = "coordinator-7"
        self.state = MemberState.REBALANCING
        self.generation, self.member = 4, "me"
        self.requests = 0
        self.heard: list[Any] = []
        self.joins: list[bytes | Exception] = []
        self.begun = False
        self.silent = False

        self.dynamic = True
        self.at_poll: Callable[[int], None] = lambda _: None

    def is_dynamic_member(self) -> bool:
        return self.dynamic

    def poll(self, timeout_ms: int) -> None:
        self.at_poll(timeout_ms)

    def request_rejoin(self) -> None:
        self.requests += 1
        self.rejoin_needed = True

    def reset_generation(self, member_id: str = "") -> None:
        self.member, self.state = member_id, MemberState.UNJOINED

    def _process_join_group_response(self, response: Any, sent_at: float) -> Any:
        self.heard.append((response.leader, sent_at))
        return response

    async def _do_join_and_sync_async(self) -> bytes:
        self.state = MemberState.REBALANCING
        answer = self.joins.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def _send_heartbeat_request(self) -> None:
        if self.silent:
            raise errors.KafkaTimeoutError("late")
        if self.begun:
            self.request_rejoin()
            raise errors.RebalanceInProgressError


class _Consumer:
    """A consumer whose broker answers at once."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self._coordinator = _Coordinator()
        self._coordinator.at_poll = self.polled
        self.left: list[str] = []
        self._manager = self._net = self
        self.members: set[str] | None = {"me"}
        self.error_code = 0
        self.nodes: list[int] = []
        self.polls = 0
        self.at_poll: Callable[[], None] = lambda: None

    def group_metadata(self) -> Any:
        of = self._coordinator
        return ConsumerGroupMetadata(
            "group", generation_id=of.generation, member_id=of.member, state=of.state
        )

    def polled(self, timeout_ms: int) -> None:
        self.polls += 1
        self.clock.now += timeout_ms / 1_000
        self.at_poll()

    def run(self, ask: Callable[[], Awaitable[Any]]) -> Any:
        async def all_of_it() -> Any:
            return await ask()

        return asyncio.run(all_of_it())

    async def wait_for(self, answer: Awaitable[Any], timeout_ms: int) -> Any:
        assert 0 < timeout_ms <= 5_000, "who polls must not be kept for long"
        return await answer

    async def send(self, request: Any, node_id: int) -> Any:
        self.nodes.append(node_id)
        if self.members is None:
            raise errors.NodeNotReadyError(node_id)
        if isinstance(request, LeaveGroupRequest):
            assert request.group_id == "group"
            self.left += [one.member_id for one in request.members]
            return SimpleNamespace(error_code=0)
        assert request.groups == ["group"]
        members = [SimpleNamespace(member_id=one) for one in sorted(self.members)]
        return SimpleNamespace(
            groups=[SimpleNamespace(error_code=self.error_code, members=members)]
        )

    async def call_soon(self, coroutine: Callable[[], Awaitable[Any]]) -> Any:
        return await coroutine()


class Member:
    """A membership with its consumer and its clock."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.consumer = _Consumer(self.clock)
        self.of = self.consumer._coordinator
        self.membership = Membership(
            "group", session_s=SESSION_S, round_s=ROUND_S, clock=self.clock
        )
        self.membership.attach(self.consumer)

    def answer(self, leader: str, *, asked_s_ago: float = 0.0, error_code: int = 0) -> None:
        """The broker answers a JoinGroup request."""
        response = SimpleNamespace(leader=leader, member_id=self.of.member, error_code=error_code)
        self.of._process_join_group_response(response, self.clock.now - asked_s_ago)

    def look(self, after: float = 0.0) -> bool:
        self.clock.now += after
        return self.membership.look() is not None


@pytest.fixture
def member() -> Member:
    return Member()


@pytest.mark.parametrize(
    ("rejoining", "needed", "requests"),
    [(True, False, 1), (True, True, 0), (False, False, 0), (False, True, 0)],
)
def test_a_join_that_the_library_forgot_is_asked_for(
    member: Member, rejoining: bool, needed: bool, requests: int
) -> None:
    member.of.rejoining, member.of.rejoin_needed = rejoining, needed
    assert not member.look()
    assert member.of.requests == requests


def test_a_member_is_one_while_it_joins_again_and_until_it_is_put_out(member: Member) -> None:
    joining, stable, out = MemberState.REBALANCING, MemberState.STABLE, MemberState.UNJOINED
    said = []
    for member.of.state in (out, joining, stable, joining, stable, out, joining, stable):
        said.append(member.membership.joined())
    assert said == [False, False, True, True, True, False, False, True]


def _join(member: Member) -> bytes:
    """As the library does at a poll that finds its join ended, or none under way."""
    assignment: bytes = asyncio.run(member.of._do_join_and_sync_async())
    return assignment


def test_a_join_that_ended_between_two_polls_is_not_begun_again(member: Member) -> None:
    member.of.state = MemberState.UNJOINED
    member.of.joins = [b"all of it", b"some of it"]
    assert [_join(member) for _ in range(3)] == [b"all of it"] * 3
    member.of.state = MemberState.STABLE  # it was taken in
    assert [_join(member) for _ in range(2)] == [b"some of it"] * 2
    assert member.of.joins == []


@pytest.mark.parametrize("meanwhile", [MemberState.UNJOINED, MemberState.STABLE])
def test_an_assignment_counts_no_more_once_the_member_is_out_or_has_it(
    member: Member, meanwhile: MemberState
) -> None:
    member.of.joins = [b"of before", errors.UnknownMemberIdError(), b"of now"]
    member.of.state = MemberState.UNJOINED
    assert _join(member) == b"of before"
    member.of.state = meanwhile
    with pytest.raises(errors.UnknownMemberIdError):
        _join(member)
    assert _join(member) == b"of now", "what failed is no assignment"


def test_the_place_of_a_leader_that_is_no_member_is_taken(member: Member) -> None:
    member.look()
    member.answer("gone")
    assert not member.look(after=SESSION_S), "a leader that lives has its session timeout"
    assert member.consumer.nodes == []
    assert not member.look(after=1), "it may have left since it was named"
    member.clock.now += 1
    member.answer("gone")
    assert member.look(after=1)
    assert member.of.member == "gone"
    assert member.consumer.nodes == [7, 7], "not over the connection that the join occupies"
    assert len(member.of.heard) == 2, "the library is not passed over"


def test_an_answer_to_what_was_asked_before_proves_nothing(member: Member) -> None:
    member.look()
    member.answer("gone")
    member.look(after=SESSION_S + 1)
    member.clock.now += 1
    member.answer("gone", asked_s_ago=2)
    assert not member.look()
    member.answer("gone")
    assert member.look()


def test_an_answer_is_looked_at_once(member: Member) -> None:
    member.look()
    member.answer("gone")
    for _ in range(20):
        assert not member.look(after=SESSION_S)
    assert len(member.consumer.nodes) == 1


@pytest.mark.parametrize(
    ("members", "error_code"),
    [
        ({"gone", "me"}, 0),  # it lives
        ({"another", "me"}, 0),  # the first one does it
        ({"the first"}, 0),  # we are out ourselves
        (set(), 0),
        (None, 0),  # no answer
        ({"me"}, 30),  # the user may not ask
    ],
)
def test_a_place_is_left_that_is_not_ours_to_take(
    member: Member, members: set[str] | None, error_code: int
) -> None:
    member.consumer.members, member.consumer.error_code = members, error_code
    for _ in range(10):
        member.answer("gone")
        assert not member.look(after=SESSION_S)
    assert member.of.member == "me"


@pytest.mark.parametrize("leader", ["me", ""])
def test_who_leads_or_was_refused_has_nobody_to_look_for(member: Member, leader: str) -> None:
    for _ in range(10):
        member.answer(leader, error_code=0 if leader else 79)
        assert not member.look(after=SESSION_S)
    assert member.consumer.nodes == []


def test_without_a_coordinator_nobody_is_asked(member: Member) -> None:
    member.of.coordinator_id = None
    member.look()
    member.answer("gone")
    assert not member.look(after=2 * SESSION_S)
    assert member.consumer.nodes == []


def test_two_leaders_that_left_one_after_the_other_prove_nothing(member: Member) -> None:
    member.look(after=SESSION_S)
    for number in range(10):
        member.answer(f"gone {number}")
        assert not member.look(after=SESSION_S)


def test_each_consumer_has_more_patience_than_the_last_until_one_has_joined(
    member: Member,
) -> None:
    patience = []
    for _ in range(MOST_DOUBLINGS + 2):
        member.look()
        began = member.clock.now
        while member.membership.overdue_s is None:
            member.look(after=1)
        patience.append(member.clock.now - began)
        member.membership.attach(_Consumer(member.clock))
    assert patience == [MOST_S * times + 1 for times in (1, 2, 4, 8, 8)]


def test_having_joined_is_a_new_beginning(member: Member) -> None:
    member.membership.attach(member.consumer)
    member.of.state = MemberState.STABLE
    assert not member.look()
    member.of.state = MemberState.REBALANCING
    overdue = []
    for after in (0, ROUND_S, ROUND_S, SESSION_S, 1):
        assert not member.look(after=after)
        overdue.append(member.membership.overdue_s)
    assert overdue == [None, None, None, None, MOST_S + 1]
    member.membership.wait_on()
    assert not member.look(after=MOST_S)
    assert member.membership.overdue_s is None


def test_a_leader_ends_the_rebalance_that_it_has_not_heard_of(member: Member) -> None:
    of = member.of
    of._is_leader, of.state, of.begun = True, MemberState.STABLE, True

    def joins_again() -> None:
        if member.consumer.polls == 3:
            of.state, of.generation = MemberState.REBALANCING, 5
        elif member.consumer.polls == 7:
            of.state = MemberState.STABLE

    member.consumer.at_poll = joins_again
    member.membership.settle(member.clock.now + 9)
    assert member.consumer.polls == 7


@pytest.mark.parametrize(
    ("leads", "begun", "silent"),
    [(False, True, False), (True, False, False), (True, True, True)],
)
def test_without_a_rebalance_the_group_is_left_at_once(
    member: Member, leads: bool, begun: bool, silent: bool
) -> None:
    member.of.state = MemberState.STABLE
    member.of._is_leader, member.of.begun, member.of.silent = leads, begun, silent
    member.membership.settle(member.clock.now + 9)
    assert member.consumer.polls == 0


def test_a_rebalance_that_does_not_end_is_not_waited_for_longer_than_there_is(
    member: Member,
) -> None:
    deadline = member.clock.now + 3
    member.membership.settle(deadline)
    assert deadline - 1 < member.clock.now < deadline
    # On the coordinator's own connection that would wait behind the join.
    assert (member.consumer.left, member.consumer.nodes) == (["me"], [7])
    assert member.of.state is MemberState.UNJOINED, "close has nothing more to leave"


def test_a_static_member_stays_where_it_is(member: Member) -> None:
    member.of.dynamic = False
    member.membership.settle(member.clock.now + 3)
    assert member.consumer.left == []


def test_a_broker_that_does_not_answer_keeps_nobody(member: Member) -> None:
    member.consumer.members = None
    member.membership.settle(member.clock.now + 3)
    assert member.of.state is MemberState.REBALANCING


def test_a_leader_that_was_put_out_does_not_join_again_to_leave(member: Member) -> None:
    of = member.of
    of._is_leader, of.state = True, MemberState.STABLE

    async def unknown() -> None:
        of.reset_generation()
        of.rejoin_needed = True
        raise errors.UnknownMemberIdError

    of._send_heartbeat_request = unknown  # type: ignore[method-assign]
    member.membership.settle(member.clock.now + 9)
    assert (member.consumer.polls, member.consumer.left) == (0, [])


def test_an_error_while_settling_is_no_reason_not_to_close(member: Member) -> None:
    def closed(_: int) -> None:
        raise RuntimeError("the loop is closed")

    member.of.at_poll = closed
    member.membership.settle(member.clock.now + 9)


def test_a_process_that_stood_still_has_not_joined_for_so_long(member: Member) -> None:
    member.look()
    member.look(after=1_000)
    assert member.membership.overdue_s is None
