"""Folders, waiting and users for the tests of the embedded services."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from worker.local.accounts import Account, blocked_at

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence


@pytest.fixture
def open_dir() -> Iterator[Path]:
    """A temporary folder that every user may enter and write to, as pytest's own is not."""
    folder = Path(tempfile.mkdtemp(prefix="ew-test-", dir="/tmp"))
    folder.chmod(0o777)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def eventually() -> Callable[[Callable[[], bool], float], bool]:
    """Whether a condition comes true within some seconds."""

    def wait(condition: Callable[[], bool], seconds: float = 8.0) -> bool:
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.05)
        return True

    return wait


@pytest.fixture(params=["root", "ordinary user"])
def as_user(request: pytest.FixtureRequest) -> Sequence[str]:
    """What to put before a command so that it runs as root, and as an ordinary user."""
    root = os.geteuid() == 0
    if request.param == "root":
        if not root:
            pytest.skip("needs root")
        return ()
    if not root:
        return ()
    if shutil.which("setpriv") is None:
        pytest.skip("needs setpriv to become an ordinary user")
    prefix = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    if blocked_at(Path(sys.executable).resolve(), Account("", 65534, 65534)) is not None:
        # The interpreter lies in root's home: the right to read everything, and no other, lets an
        # ordinary user run it.
        prefix += ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]
    return prefix
