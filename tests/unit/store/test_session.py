"""A session's attempts, without a database."""

from __future__ import annotations

from typing import Any

import pytest
from psycopg import errors

from worker.errors import StoreUnavailableError
from worker.store.session import ATTEMPTS, Session


class _Connection:
    closed = False

    def rollback(self) -> None:
        """There is nothing to undo."""


def test_it_says_before_each_attempt_that_it_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[int] = []
    attempts: list[int] = []
    monkeypatch.setattr("worker.store.session.time.sleep", lambda _: None)
    one = Session("postgresql://nowhere", name="test", again=lambda: said.append(len(attempts)))
    monkeypatch.setattr(one, "_session", _Connection)

    def locked(_: Any) -> None:
        attempts.append(1)
        raise errors.LockNotAvailable

    with pytest.raises(StoreUnavailableError):
        one.run(locked)
    assert said == list(range(ATTEMPTS))
