"""Tokens and epochs: whose answer counts after a rebalance."""

from __future__ import annotations

from threading import Barrier, Thread

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from worker.source import TopicPartition
from worker.source.assignment import Assignment

PLACES = tuple(TopicPartition("posts", number) for number in range(3))
ONE, TWO, _ = PLACES


def _token(assignment: Assignment, place: TopicPartition = ONE) -> int:
    return assignment.take_unclaimed()[place]


def test_what_is_assigned_is_to_be_claimed_once() -> None:
    assignment = Assignment()
    assignment.assigned([ONE, TWO])
    assert assignment.partitions() == {ONE, TWO}
    assert assignment.take_unclaimed().keys() == {ONE, TWO}
    assert assignment.take_unclaimed() == {}


def test_a_confirmed_claim_is_held_until_it_is_revoked() -> None:
    assignment = Assignment()
    assignment.assigned([ONE])
    assert not assignment.holds(ONE, 5)
    assert assignment.confirm(ONE, _token(assignment), 5)
    assert assignment.holds(ONE, 5)
    assert not assignment.holds(ONE, 4)
    assignment.revoked([ONE])
    assert not assignment.holds(ONE, 5)
    assert assignment.partitions() == frozenset()


def test_the_answer_to_a_claim_of_before_a_rebalance_is_refused() -> None:
    assignment = Assignment()
    assignment.assigned([ONE])
    old = _token(assignment)
    assignment.revoked([ONE])
    assert not assignment.current(ONE, old)
    assert not assignment.confirm(ONE, old, 5)

    assignment.assigned([ONE])
    new = _token(assignment)
    assert not assignment.current(ONE, old)
    assert not assignment.confirm(ONE, old, 5)
    assert not assignment.holds(ONE, 5)
    assert assignment.confirm(ONE, new, 6)
    assert assignment.holds(ONE, 6)


def test_a_second_assignment_without_a_revocation_is_claimed_anew() -> None:
    assignment = Assignment()
    assignment.assigned([ONE])
    old = _token(assignment)
    assert assignment.confirm(ONE, old, 5)
    assignment.assigned([ONE])
    assert not assignment.holds(ONE, 5)
    assert not assignment.current(ONE, old)
    assert _token(assignment) != old


def test_a_fenced_partition_is_claimed_again() -> None:
    assignment = Assignment()
    assignment.assigned([ONE])
    old = _token(assignment)
    assert assignment.confirm(ONE, old, 5)
    assert assignment.again(ONE, 5)
    assert not assignment.holds(ONE, 5)
    assert not assignment.confirm(ONE, old, 5), "an answer to the claim of before"
    new = _token(assignment)
    assert assignment.confirm(ONE, new, 6)
    assert not assignment.again(ONE, 5), "it is held under another epoch by now"
    assert assignment.holds(ONE, 6)
    assert assignment.take_unclaimed() == {}


def test_what_is_not_ours_is_not_claimed_again() -> None:
    assignment = Assignment()
    assert not assignment.again(ONE, 1)
    assignment.assigned([ONE])
    assert assignment.confirm(ONE, _token(assignment), 1)
    assignment.revoked([ONE])
    assert not assignment.again(ONE, 1)
    assert assignment.take_unclaimed() == {}


def test_a_claim_put_back_is_made_later_with_the_same_token() -> None:
    assignment = Assignment()
    assignment.assigned([ONE])
    token = _token(assignment)
    assignment.put_back(ONE, token)
    assert assignment.take_unclaimed() == {ONE: token}


def test_a_claim_of_before_a_rebalance_is_not_put_back() -> None:
    assignment = Assignment()
    assignment.assigned([ONE])
    token = _token(assignment)
    assignment.revoked([ONE])
    assignment.put_back(ONE, token)
    assert assignment.take_unclaimed() == {}
    assignment.assigned([ONE])
    new = _token(assignment)
    assignment.put_back(ONE, token)
    assert assignment.take_unclaimed() == {}
    assert assignment.current(ONE, new)


def test_a_revocation_takes_the_open_claim_along() -> None:
    assignment = Assignment()
    assignment.assigned(PLACES)
    assignment.revoked([ONE])
    assert ONE not in assignment.take_unclaimed()
    assignment.revoked([ONE])  # twice is as once


def test_assignments_are_counted() -> None:
    assignment = Assignment()
    assignment.assigned([ONE])
    assignment.revoked([ONE])
    assignment.assigned([])
    assert assignment.rebalances == 2


class Claims(RuleBasedStateMachine):
    """Every answer ever asked for may come at any time: only the newest one's counts."""

    @initialize()
    def begin(self) -> None:
        self.assignment = Assignment()
        self.ours: set[TopicPartition] = set()
        self.newest: dict[TopicPartition, int] = {}
        self.epochs: dict[TopicPartition, int] = {}
        self.tokens: set[tuple[TopicPartition, int]] = set()
        self.epoch = 0

    @rule(places=st.sets(st.sampled_from(PLACES)))
    def assign(self, places: set[TopicPartition]) -> None:
        self.assignment.assigned(places)
        self.ours |= places
        for place in places:
            self.newest.pop(place, None)
            self.epochs.pop(place, None)

    @rule(places=st.sets(st.sampled_from(PLACES)))
    def revoke(self, places: set[TopicPartition]) -> None:
        self.assignment.revoked(places)
        self.ours -= places
        for place in places:
            self.newest.pop(place, None)
            self.epochs.pop(place, None)

    @rule()
    def claim(self) -> None:
        taken = self.assignment.take_unclaimed()
        assert taken.keys() == {place for place in self.ours if place not in self.newest}
        for place, token in taken.items():
            assert (place, token) not in self.tokens, "each assignment has a token of its own"
            self.tokens.add((place, token))
            self.newest[place] = token

    @precondition(lambda self: self.tokens)
    @rule(data=st.data())
    def answer(self, data: st.DataObject) -> None:
        place, token = data.draw(st.sampled_from(sorted(self.tokens)))
        self.epoch += 1
        newest = self.newest.get(place) == token
        assert self.assignment.current(place, token) == newest
        assert self.assignment.confirm(place, token, self.epoch) == newest
        if newest:
            self.epochs[place] = self.epoch

    @rule(place=st.sampled_from(PLACES), late=st.booleans())
    def fence(self, place: TopicPartition, late: bool) -> None:
        epoch = self.epochs.get(place, 0) - late
        expected = epoch > 0 and self.epochs.get(place) == epoch
        assert self.assignment.again(place, epoch) == expected
        if expected:
            del self.newest[place]
            del self.epochs[place]

    @invariant()
    def only_confirmed_claims_are_held(self) -> None:
        assert self.assignment.partitions() == self.ours
        for place in PLACES:
            held = {e for e in range(self.epoch + 1) if self.assignment.holds(place, e)}
            assert held == ({self.epochs[place]} if place in self.epochs else set())


TestClaims = Claims.TestCase
TestClaims.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)


def test_threads_get_each_claim_once() -> None:
    assignment = Assignment()
    places = [TopicPartition("posts", number) for number in range(50)]
    barrier, rounds = Barrier(4), 40
    taken: list[list[tuple[TopicPartition, int]]] = [[] for _ in range(3)]

    def take(mine: list[tuple[TopicPartition, int]]) -> None:
        barrier.wait()
        for _ in range(rounds * 20):
            mine += assignment.take_unclaimed().items()

    threads = [Thread(target=take, args=(mine,)) for mine in taken]
    for thread in threads:
        thread.start()
    barrier.wait()
    for _ in range(rounds):
        assignment.assigned(places)
    for thread in threads:
        thread.join()
    rest = list(assignment.take_unclaimed().items())

    everything = [claim for mine in taken for claim in mine] + rest
    assert len(everything) == len(set(everything))
    newest = dict(sorted(everything, key=lambda claim: claim[1]))
    assert all(assignment.current(place, newest[place]) for place in places)
