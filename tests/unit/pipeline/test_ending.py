"""The way a worker ends: what was read is finished, but not where nobody can."""

from __future__ import annotations

import time
from typing import Any

import pytest

from worker.pipeline.channels import Channels
from worker.pipeline.worker import Worker


class _Poll:
    """A poll stage that has handed all on."""

    idle = True

    def finish(self) -> None: ...

    def mirror(self) -> None: ...


@pytest.mark.parametrize("failed", [True, False])
def test_once_a_stage_has_failed_the_group_is_not_kept_waiting(failed: bool) -> None:
    worker: Any = Worker.__new__(Worker)
    worker._channels = channels = Channels()
    worker._health = channels.health
    worker._stopped_at = None
    while not channels.batches.full():
        channels.batches.put(None)
    if failed:
        channels.failed.append(RuntimeError("refused"))
    else:
        worker._stopped_at = time.monotonic() - 5.5
    before = time.monotonic()
    worker._finish(_Poll(), [])
    assert channels.stopping.is_set()
    assert time.monotonic() - before < 0.2 if failed else time.monotonic() - before >= 0.4
