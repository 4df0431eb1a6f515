"""Ports on the loopback interface."""

from __future__ import annotations

import errno
import secrets
import socket
from typing import Final

from worker.errors import SettingsError

HOST: Final = "127.0.0.1"

# Below the range (32768 and up on Linux) from which the kernel takes ports for outgoing
# connections: up there, somebody's connection could take the port before the service does, and
# our own attempt to connect could even meet itself.
_FIRST, _LAST = 20_000, 32_000


def choose_port(port: int, *, service: str, flag: str) -> int:
    """Returns `port` if it is free, or any free port if it is 0.

    Raises:
        SettingsError: It is taken, or not ours to use.
    """
    if port == 0:
        return _free_port()
    problem = _problem(port)
    if problem is None:
        return port
    if problem == errno.EADDRINUSE:
        what = f"port {port} of {HOST} is taken by another process"
    elif problem == errno.EACCES:
        what = f"port {port} of {HOST} needs privileges that this user lacks"
    else:
        what = f"port {port} of {HOST} cannot be used ({errno.errorcode.get(problem, problem)})"
    raise SettingsError(
        f"The {service} cannot start: {what}. Choose another with {flag} (0 takes any free port)."
    )


def _free_port() -> int:
    for _ in range(200):
        port = _FIRST + secrets.randbelow(_LAST - _FIRST)
        if _problem(port) is None:
            return port
    raise SettingsError(f"No free port found between {_FIRST} and {_LAST} of {HOST}.")


def _problem(port: int) -> int | None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do: connections of a server that has just ended are no obstacle.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
            probe.listen(1)
        except OSError as error:
            return error.errno
    return None


def address_in_use(log: str) -> bool:
    """Whether a service's log says that it found its port taken."""
    text = log.lower()
    return "address already in use" in text or "address in use" in text
