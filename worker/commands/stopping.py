"""SIGTERM and SIGINT for commands that work until told to: an end within 10 s, come what may."""

from __future__ import annotations

import logging
import os
import signal
import sys
from threading import Thread, Timer
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

log = logging.getLogger(__name__)

END_S: Final = 9.5
"""After a signal, under the 10 s that are promised and that `docker stop` waits for."""
_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


def leave_on_signals(code: int = 0) -> None:
    """Until there is work to finish, a signal ends the command, with this exit code."""

    def leave(number: int, _frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        end_in_time(code=code)
        sys.exit(code)

    for number in _SIGNALS:
        signal.signal(number, leave)


def stop_on_signals(stop: Callable[[], None], code: int = 0) -> None:
    """From now on a signal calls `stop`; a second one ends the process at once.

    Where stopping takes too long, the process ends with this exit code.
    """

    def stopping(number: int, _frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        end_in_time(code=code)
        stop()
        log.info("stopping", extra={"signal": signal.Signals(number).name})

    for number in _SIGNALS:
        signal.signal(number, stopping)


def end_now(code: int = 0) -> None:
    """Ends the process without waiting for its threads.

    One that is still inside a long forward pass must not hold the exit up: what it works on belongs
    to the partition's next owner.
    """
    _flush()
    os._exit(code)


def end_in_time(seconds: float = END_S, code: int = 0) -> None:
    """Ends the process in `seconds`, whatever it is doing then, if it has not ended by itself.

    Nothing is lost by it: positions move with what is stored, so this is a crash like any other.
    """
    timer = Timer(seconds, _end, (code,))
    timer.daemon = True
    timer.start()


def _end(code: int) -> None:
    # What the process hangs in may hold the lock of the log: not waited for.
    flushing = Thread(target=_flush, daemon=True)
    flushing.start()
    flushing.join(0.2)
    os._exit(code)


def _flush() -> None:
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
