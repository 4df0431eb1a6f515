"""Where a claimed partition begins: at its stored position, or by the settings where none holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from worker.errors import WorkerError

if TYPE_CHECKING:
    from worker.store.interface import Claim

Reset = Literal["earliest", "latest", "fail"]


def start_offset(
    claim: Claim, bounds: tuple[int, int], committed: int | None, reset: Reset
) -> tuple[int, str | None]:
    """Decides where to read from.

    Args:
        claim: With the stored position, if there is one.
        bounds: First and end offset of the log.
        committed: The group's commit in Kafka, where it is to be adopted.
        reset: WORKER_AUTO_OFFSET_RESET.

    Returns:
        The offset, and what must be said loudly about it (None: nothing).

    A topic that was made anew under its old name is read from its start, whatever `reset` says.

    Raises:
        WorkerError: There is no usable position, and `reset` is `fail`.
    """
    first, end = bounds
    stored = claim.next_offset
    if stored is None and claim.superseded:
        return first, f"the topic is another log than before; it is read from its start, {first}"
    if stored is None and committed is not None:
        if first <= committed <= end:
            return committed, f"adopted the group's Kafka commit {committed}"
        said = f"the group's Kafka commit {committed} lies outside the log ({first} to {end})"
    elif stored is None:
        said = None
    elif first <= stored <= end:
        return stored, None
    elif stored < first:
        said = (
            f"{first - stored} records from {stored} on are gone from the log, "
            f"which now begins at {first}"
        )
    else:
        said = f"the stored position {stored} lies above the end of the log, {end}"
    if reset == "fail":
        raise WorkerError(
            f"{claim.partition}: {said or 'the group has no stored position'}, and "
            "WORKER_AUTO_OFFSET_RESET is `fail`. Set it to `earliest` or `latest` to go on."
        )
    offset = first if reset == "earliest" else end
    return offset, None if said is None else f"{said}; reading on from {offset} ({reset})"
