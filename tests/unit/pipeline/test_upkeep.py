"""Upkeep by the clock: it never ends the worker, and says a refusal once."""

from __future__ import annotations

from threading import Event
from typing import TYPE_CHECKING, Any, cast

import pytest

from worker.errors import StoreUnavailableError, WorkerError
from worker.pipeline.upkeep import Upkeep
from worker.store.maintain import Keep, Maintained

if TYPE_CHECKING:
    from collections.abc import Iterator

    from worker.store.session import Session


class Closing:
    closed = False

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    said: list[Any] = []

    def maintain(*_: object, **__: object) -> Any:
        answer = said.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr("worker.pipeline.upkeep.maintain", maintain)
    yield said
    assert not said


def make(stopping: Event) -> tuple[Upkeep, Closing]:
    session = Closing()
    upkeep = Upkeep(cast("Session", session), Keep(), every_s=0.001, stopping=stopping)
    return upkeep, session


def test_what_was_done_is_said_and_nothing_is_not(
    answers: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    answers += [Maintained(folded=3), Maintained(), None]
    upkeep, _ = make(Event())
    for _ in range(3):
        upkeep.turn()
    assert [record.getMessage() for record in caplog.records] == ["upkeep"]
    assert vars(caplog.records[0])["folded"] == "3"


def test_a_refusal_is_said_once_and_an_absent_database_ends_nothing(
    answers: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    refused = WorkerError("must be owner of table post_emotions")
    answers += [refused, StoreUnavailableError("away"), refused, Maintained(minutes=1)]
    upkeep, _ = make(Event())
    for _ in range(4):
        upkeep.turn()
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_it_goes_on_until_it_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    stopping, rounds = Event(), []

    def third_time(*_: object, **__: object) -> None:
        rounds.append(1)
        if len(rounds) == 3:
            stopping.set()

    monkeypatch.setattr("worker.pipeline.upkeep.maintain", third_time)
    upkeep, session = make(stopping)
    upkeep.run()
    assert len(rounds) == 3
    assert session.closed
