from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from worker.errors import WorkerError
from worker.pipeline.starts import Reset, Start, start_offset
from worker.posts.place import Partition
from worker.store.interface import Claim

if TYPE_CHECKING:
    from worker.metrics import Move

PARTITION = Partition("posts", UUID(int=1), 3)
BOUNDS = (10, 20)
RESETS: tuple[Reset, ...] = ("earliest", "latest", "fail")


def _start(stored: int | None, committed: int | None, reset: Reset) -> Start:
    return start_offset(Claim(PARTITION, 1, stored), BOUNDS, committed, reset)


@pytest.mark.parametrize("reset", RESETS)
@pytest.mark.parametrize("stored", [10, 15, 20])
@pytest.mark.parametrize("committed", [None, 12])
def test_a_stored_position_within_the_log_goes_before_everything(
    stored: int, committed: int | None, reset: Reset
) -> None:
    assert _start(stored, committed, reset) == Start(stored)


@pytest.mark.parametrize("reset", RESETS)
@pytest.mark.parametrize("committed", [10, 15, 20])
def test_a_commit_within_the_log_is_adopted_and_said(committed: int, reset: Reset) -> None:
    assert _start(None, committed, reset) == Start(
        committed, f"adopted the group's Kafka commit {committed}"
    )


@pytest.mark.parametrize(("reset", "offset"), [("earliest", 10), ("latest", 20)])
def test_no_position_at_all(reset: Reset, offset: int) -> None:
    assert _start(None, None, reset) == Start(offset)


@pytest.mark.parametrize(("reset", "offset"), [("earliest", 10), ("latest", 20)])
@pytest.mark.parametrize(
    ("stored", "committed", "words", "move", "lost"),
    [
        (7, None, "3 records from 7 on are gone from the log, which now begins at 10", "gap", 3),
        (7, 12, "3 records from 7 on are gone from the log, which now begins at 10", "gap", 3),
        (21, None, "the stored position 21 lies above the end of the log, 20", "above_end", 0),
        (None, 9, "the group's Kafka commit 9 lies outside the log (10 to 20)", "not_adopted", 0),
        (None, 21, "the group's Kafka commit 21 lies outside the log (10 to 20)", "not_adopted", 0),
    ],
)
def test_a_position_outside_the_log_is_said_and_counted(
    stored: int | None,
    committed: int | None,
    words: str,
    move: Move,
    lost: int,
    reset: Reset,
    offset: int,
) -> None:
    said = f"{words}; reading on from {offset} ({reset})"
    assert _start(stored, committed, reset) == Start(offset, said, move, lost)


@pytest.mark.parametrize(
    ("stored", "committed", "words"),
    [
        (7, None, "3 records from 7 on are gone"),
        (21, 12, "lies above the end of the log"),
        (None, 21, "commit 21 lies outside the log"),
        (None, None, "no stored position"),
    ],
)
def test_fail_means_fail(stored: int | None, committed: int | None, words: str) -> None:
    with pytest.raises(WorkerError) as raised:
        _start(stored, committed, "fail")
    message = str(raised.value)
    assert words in message
    assert message.startswith("posts/3: ")
    assert "WORKER_AUTO_OFFSET_RESET" in message


@pytest.mark.parametrize("reset", RESETS)
@pytest.mark.parametrize("committed", [None, 15])
def test_a_topic_made_anew_is_read_from_its_start_and_said(
    committed: int | None, reset: Reset
) -> None:
    claim = Claim(PARTITION, 1, None, superseded=True)
    start = start_offset(claim, BOUNDS, committed, reset)
    assert (start.offset, start.move, start.lost) == (10, "recreated", 0)
    assert start.said is not None
    assert "another log" in start.said
