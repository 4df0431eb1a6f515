"""A service's process: started under a supervisor, so that it never outlives this process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import signal
    from collections.abc import Mapping

    from worker.local.accounts import Account

_SUPERVISOR: Final = Path(__file__).with_name("supervisor.py")
_LAST_WAIT_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class ServicePlan:
    """What to run, and how it is to be ended.

    Attributes:
        command: The program's absolute path and its arguments.
        log: Where its stdout and stderr are appended.
        stop: Signals in the order they are sent, and the seconds each is given.
        orphan_signal: What the service gets should even its supervisor be killed.
        environment: The whole environment: nothing is inherited.
        account: Whom it runs as; None: as we do.
        cwd: Its working folder.
        remove: Folders deleted once it has been stopped, also if this process was killed.
    """

    command: tuple[str, ...]
    log: Path
    stop: tuple[tuple[signal.Signals, float], ...]
    orphan_signal: signal.Signals
    environment: Mapping[str, str] = field(default_factory=dict)
    account: Account | None = None
    cwd: Path = Path("/")
    remove: tuple[Path, ...] = ()


class SupervisedProcess:
    """A running service. It ends with `stop()`, and when this process ends in whatever way.

    The supervisor leads a session of its own: a terminal's Ctrl-C reaches us only, so that a worker
    can finish what it holds before its broker and database go.
    """

    def __init__(self, plan: ServicePlan) -> None:
        self._plan = plan
        read, self._lifeline = os.pipe()
        account = plan.account
        message = {
            "command": plan.command,
            "environment": dict(plan.environment),
            "cwd": str(plan.cwd),
            "user": None if account is None else (account.uid, account.gid),
            "owner": os.getpid(),
            "stop": [(number.name, seconds) for number, seconds in plan.stop],
            "orphan_signal": plan.orphan_signal.name,
            "remove": [str(folder) for folder in plan.remove],
        }
        try:
            with plan.log.open("ab") as log:
                self._process = subprocess.Popen(  # noqa: S603
                    [sys.executable, "-I", "-S", str(_SUPERVISOR), json.dumps(message)],
                    stdin=read,
                    stdout=log,
                    stderr=log,
                    cwd="/",
                    start_new_session=True,
                )
        except BaseException:
            os.close(self._lifeline)
            raise
        finally:
            os.close(read)

    @property
    def supervisor_pid(self) -> int:
        """The process id of the supervisor."""
        return self._process.pid

    def poll(self) -> int | None:
        """How the service ended on its own: its exit code, or 128 plus a signal; None: it runs."""
        return self._process.poll()

    def wait(self, seconds: float) -> int | None:
        """Waits for the service to end on its own; None: it still runs."""
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def stop(self) -> None:
        """Stops the service and waits until it is gone."""
        if self._lifeline >= 0:
            os.close(self._lifeline)
            self._lifeline = -1
        patience = sum(seconds for _, seconds in self._plan.stop) + _LAST_WAIT_SECONDS
        if self.wait(patience) is None:
            self._process.kill()
            self._process.wait()


def log_tail(log: Path, lines: int = 15) -> str:
    """The last lines of a log, for an error's message; an empty text if there is none."""
    try:
        text = log.read_text(errors="replace")
    except OSError:
        return ""
    return "\n".join(text.splitlines()[-lines:])


def executable(path: Path) -> bool:
    """Whether this is a file that we may run."""
    return path.is_file() and os.access(path, os.X_OK)


def minimal_environment(**more: str) -> Mapping[str, str]:
    """An environment in which nothing of the user's changes what a service does."""
    return {"PATH": os.defpath, "LC_ALL": "C", **more}
