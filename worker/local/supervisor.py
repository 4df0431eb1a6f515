"""Runs one service and stops it when its owner goes away, however that happens.

Started by path as `python -I -S supervisor.py PLAN` and importing little, so that it is up in
20 ms. PLAN is JSON: `command`, `environment`, `cwd`, `user` ([uid, gid] or null), `owner` (a
process id), `stop` (pairs of a signal's name and the seconds it is given), `orphan_signal`, and
`remove` (folders to delete once the service has been stopped).

Three things end the service: end of file on stdin (a pipe whose other end only the owner holds,
so that SIGKILL closes it too), another parent than `owner` (a child that the owner forked may
still hold the pipe), and SIGTERM, SIGINT or SIGHUP. Should the supervisor itself be killed, the
kernel sends the service `orphan_signal` (PR_SET_PDEATHSIG, Linux). A service that ends on its own
ends the supervisor: 128 plus the signal's number, or the service's exit code.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_PR_SET_PDEATHSIG = 1
_TERMINATING = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}


def _prctl() -> object:
    try:
        import ctypes  # noqa: PLC0415 (absent from some builds of Python)

        return ctypes.CDLL(None).prctl
    except (ImportError, AttributeError, OSError):
        return None


def _become_service(plan: dict[str, Any], prctl: object, supervisor: int) -> None:
    """In the forked child: gives up root, asks for the orphan signal, executes the command."""
    for number in (*_TERMINATING, signal.SIGCHLD, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    if plan["user"] is not None:
        uid, gid = plan["user"]
        os.setgroups([gid])
        os.setgid(gid)
        os.setuid(uid)
    os.chdir(plan["cwd"])
    if callable(prctl):
        # After setuid, which clears it.
        prctl(_PR_SET_PDEATHSIG, int(signal.Signals[plan["orphan_signal"]]), 0, 0, 0)
        if os.getppid() != supervisor:
            os._exit(1)
    os.execve(plan["command"][0], plan["command"], plan["environment"])  # noqa: S606


class _Service:
    """The running command, and the pipe on which signals wake its supervisor."""

    def __init__(self, plan: dict[str, Any]) -> None:
        self.plan = plan
        self.woken, wake = os.pipe()
        os.set_blocking(self.woken, False)
        os.set_blocking(wake, False)
        for number in (*_TERMINATING, signal.SIGCHLD):
            signal.signal(number, lambda *_: None)
        signal.set_wakeup_fd(wake)
        prctl, supervisor = _prctl(), os.getpid()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                _become_service(plan, prctl, supervisor)
            except BaseException as error:  # a forked child must not return
                os.write(2, f"cannot run {plan['command'][0]}: {error}\n".encode())
            os._exit(127)
        self.exit_code: int | None = None

    def ended(self) -> bool:
        if self.exit_code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.exit_code = os.waitstatus_to_exitcode(status)
        return self.exit_code is not None

    def wait(self, descriptors: list[int], seconds: float) -> list[int]:
        """Waits for a signal or one of `descriptors`; returns those that are ready."""
        ready, _, _ = select.select([self.woken, *descriptors], [], [], max(seconds, 0))
        return ready

    def signals(self) -> set[int]:
        try:
            return set(os.read(self.woken, 512))
        except BlockingIOError:
            return set()

    def run(self) -> bool:
        """Returns True once the service is to be stopped, False if it ended on its own."""
        while not self.ended():
            ready = self.wait([0], 1.0)
            if self.signals() & _TERMINATING or os.getppid() != self.plan["owner"]:
                return True
            if 0 in ready and not os.read(0, 512):
                return True
        return False

    def stop(self) -> None:
        for name, seconds in self.plan["stop"]:
            if self.ended():
                return
            os.kill(self.pid, signal.Signals[name])
            deadline = time.monotonic() + seconds
            while not self.ended() and time.monotonic() < deadline:
                self.wait([], deadline - time.monotonic())
                self.signals()


def main() -> int:
    """Returns the exit code: 0 once the service has been stopped, else how it ended."""
    plan = json.loads(sys.argv[1])
    service = _Service(plan)
    if service.run():
        service.stop()
        import shutil  # noqa: PLC0415 (slow to import, and needed only here)

        for folder in plan["remove"]:
            shutil.rmtree(folder, ignore_errors=True)
        return 0
    code = service.exit_code or 0
    how = f"by signal {-code}" if code < 0 else f"with exit code {code}"
    os.write(2, f"supervisor: the service ended on its own, {how}\n".encode())
    return 128 - code if code < 0 else code


if __name__ == "__main__":
    sys.exit(main())
