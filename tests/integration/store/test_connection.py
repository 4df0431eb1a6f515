"""A connection that is lost right after it was made is an absent database, no bug."""

from __future__ import annotations

import psycopg
import pytest

from worker.errors import DependencyError
from worker.store.connection import connect

pytestmark = pytest.mark.integration


def test_a_connection_lost_right_after_it_was_made(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(*_: object) -> None:
        raise psycopg.OperationalError("consuming input failed: server closed the connection")

    monkeypatch.setattr(psycopg.Connection, "execute", lost)
    with pytest.raises(DependencyError, match="cannot be reached"):
        connect(database_url, application_name="test")
