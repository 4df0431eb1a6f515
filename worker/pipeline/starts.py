"""Where a claimed partition begins: at its stored position, or by the settings where none holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from worker.errors import WorkerError

if TYPE_CHECKING:
    from worker.metrics import Move
    from worker.store.interface import Claim

Reset = Literal["earliest", "latest", "fail"]


class Start(NamedTuple):
    """Where a partition begins.

    Attributes:
        offset: The first one to read.
        said: What must be said loudly about it; None: nothing.
        move: How the log was not as the stored position expects; None: it was.
        lost: How many offsets the log no longer has.
    """

    offset: int
    said: str | None = None
    move: Move | None = None
    lost: int = 0


def start_offset(
    claim: Claim, bounds: tuple[int, int], committed: int | None, reset: Reset
) -> Start:
    """Decides where to read from.

    Args:
        claim: With the stored position, if there is one.
        bounds: First and end offset of the log.
        committed: The group's commit in Kafka, where it is to be adopted.
        reset: WORKER_AUTO_OFFSET_RESET.

    A topic that was made anew under its old name is read from its start, whatever `reset` says.

    Raises:
        WorkerError: There is no usable position, and `reset` is `fail`.
    """
    first, end = bounds
    stored = claim.next_offset
    if stored is None and claim.superseded:
        anew = f"the topic is another log than before; it is read from its start, {first}"
        return Start(first, anew, "recreated")
    move: Move | None = None
    lost = 0
    if stored is None and committed is not None:
        if first <= committed <= end:
            return Start(committed, f"adopted the group's Kafka commit {committed}")
        move = "not_adopted"
        said = f"the group's Kafka commit {committed} lies outside the log ({first} to {end})"
    elif stored is None:
        said = None
    elif first <= stored <= end:
        return Start(stored)
    elif stored < first:
        move, lost = "gap", first - stored
        said = f"{lost} records from {stored} on are gone from the log, which now begins at {first}"
    else:
        move = "above_end"
        said = f"the stored position {stored} lies above the end of the log, {end}"
    if reset == "fail":
        raise WorkerError(
            f"{claim.partition}: {said or 'the group has no stored position'}, and "
            "WORKER_AUTO_OFFSET_RESET is `fail`. Set it to `earliest` or `latest` to go on."
        )
    offset = first if reset == "earliest" else end
    if said is not None:
        said = f"{said}; reading on from {offset} ({reset})"
    return Start(offset, said, move, lost)
