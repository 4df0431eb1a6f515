from __future__ import annotations

import socket

import pytest

from worker.errors import SettingsError
from worker.local.ports import HOST, address_in_use, choose_port


def _choose(port: int) -> int:
    return choose_port(port, service="broker", flag="--kafka-port")


def test_zero_takes_a_free_port_below_those_of_outgoing_connections() -> None:
    for _ in range(20):
        port = _choose(0)
        assert 20_000 <= port < 32_000
        assert _choose(port) == port


@pytest.mark.parametrize("address", [HOST, "0.0.0.0"])
def test_a_taken_port_is_refused_with_its_flag(address: str) -> None:
    with socket.create_server((address, 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(SettingsError) as raised:
            _choose(port)
    assert str(raised.value) == (
        f"The broker cannot start: port {port} of 127.0.0.1 is taken by another process. "
        "Choose another with --kafka-port (0 takes any free port)."
    )


@pytest.mark.parametrize(
    ("log", "taken"),
    [
        ('err=Io(Os { code: 98, kind: AddrInUse, message: "Address in use" })', True),
        ('could not bind IPv4 address "127.0.0.1": Address already in use', True),
        ("out of memory", False),
        ("", False),
    ],
)
def test_what_a_log_says_of_the_port(log: str, taken: bool) -> None:
    assert address_in_use(log) is taken
