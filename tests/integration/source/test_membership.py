"""Members that come and go at once, on a real broker: nobody waits for one that has left."""

from __future__ import annotations

import os
import secrets
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from worker.errors import SourceUnavailableError
from worker.settings import given_settings
from worker.source.assignment import Assignment
from worker.source.consumer import KafkaSource

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tests.fakes.group import Style

pytestmark = pytest.mark.integration

EMBEDDED = "WORKER_KAFKA_BOOTSTRAP_SERVERS" not in os.environ
SESSION_MS = 2_000 if EMBEDDED else 6_000


class Member:
    """A member of a group, and what it has."""

    def __init__(self, bootstrap: str, group: str, topic: str, style: Style) -> None:
        self.assignment = Assignment()
        settings = given_settings(
            kafka_bootstrap_servers=bootstrap,
            group=group,
            topics=(topic,),
            assignor=style,
            kafka_session_timeout_ms=SESSION_MS,
        )
        self.source = KafkaSource(settings, self.assignment)

    def poll(self) -> None:
        with suppress(SourceUnavailableError):
            self.source.poll(0.05)

    @property
    def has(self) -> int:
        return len(self.assignment.partitions())


@pytest.fixture
def join(
    kafka_bootstrap: str, make_topic: Callable[..., str]
) -> Iterator[Callable[[Style], Member]]:
    """Adds a member to one group that reads two partitions."""
    group, topic = f"test-{secrets.token_hex(4)}", make_topic(partitions=2)
    members: list[Member] = []

    def add(style: Style) -> Member:
        members.append(Member(kafka_bootstrap, group, topic, style))
        return members[-1]

    yield add
    for member in members:
        member.source.close(1)


def until(members: Sequence[Member], condition: Callable[[], bool], seconds: float = 40) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, [member.has for member in members]
        for member in members:
            member.poll()


def ask_to_join(member: Member) -> None:
    """Its request is with the broker, and no other member has heard of it."""
    deadline = time.monotonic() + 0.4
    while time.monotonic() < deadline:
        member.poll()


@pytest.mark.parametrize("style", ["cooperative-sticky", "range"])
def test_who_rarely_polls_takes_the_first_join_in(
    join: Callable[[Style], Member], style: Style
) -> None:
    members = [join(style), join(style)]
    answers = []
    for member in members:
        coordinator = member.source._consumer._coordinator
        process = coordinator._process_join_group_response

        def answered(
            response: object, sent_at: float, process: Callable[..., object] = process
        ) -> object:
            answers.append(response)
            return process(response, sent_at)

        coordinator._process_join_group_response = answered
    deadline = time.monotonic() + 40
    while [member.has for member in members] != [1, 1]:
        assert time.monotonic() < deadline, [member.has for member in members]
        for member in members:
            with suppress(SourceUnavailableError):
                member.source.poll(0.01)
        time.sleep(0.2)
    # For each its id and two rounds; more where one comes while the others' round is under way.
    assert len(answers) <= 16


@pytest.mark.parametrize("style", ["cooperative-sticky", "range"])
def test_the_leader_leaves_while_another_member_joins(
    join: Callable[[Style], Member], style: Style
) -> None:
    leader = join(style)
    until([leader], lambda: leader.has == 2)
    another = join(style)
    ask_to_join(another)
    leader.source.close(9)
    assert leader.has == 0
    until([another], lambda: another.has == 2)
    assert another.assignment.joins_mended == 0


@pytest.mark.slow
@pytest.mark.parametrize("others", [1, 2])
def test_a_group_whose_leader_left_without_a_word_to_the_others_is_freed(
    join: Callable[[Style], Member], monkeypatch: pytest.MonkeyPatch, others: int
) -> None:
    leader = join("cooperative-sticky")
    until([leader], lambda: leader.has == 2)
    rest = [join("cooperative-sticky") for _ in range(others)]
    for member in rest:
        ask_to_join(member)
    # As where the others ask to join between its last question and its leaving.
    monkeypatch.setattr(leader.source._membership, "settle", lambda deadline: None)
    leader.source.close(9)
    until(rest, lambda: [member.has for member in rest] in ([2], [1, 1]))
    # The embedded broker names the one that left as the leader for ever; Apache Kafka does not.
    assert sum(member.assignment.joins_mended for member in rest) <= (1 if EMBEDDED else 0)
