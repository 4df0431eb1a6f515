"""Which record of each post stands after a batch, and each record's outcome: 3.4 applied to rows.

Pure: the writer reads the rows, this decides, the writer changes the rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from worker.posts import Label, RecordRef, Rejection
from worker.posts.order import Standing, merge, standing

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from datetime import datetime

    from worker.store.interface import Entry

Identity = tuple[str, str]
"""Platform and post id."""


def columns(identities: Sequence[Identity]) -> dict[str, object]:
    """Identities as the queries take them: a column each, to be unnested side by side."""
    return {
        "platforms": [platform for platform, _ in identities],
        "post_ids": [post_id for _, post_id in identities],
    }


def places(labels: Sequence[tuple[Identity, datetime]]) -> dict[str, object]:
    """Where labels lie, as the queries take it: a column each, and the bounds of their times.

    The bounds let the planner leave out the day partitions that hold none of them.
    """
    times = [time for _, time in labels]
    return columns([identity for identity, _ in labels]) | {
        "times": times,
        "oldest": min(times),
        "newest": max(times),
    }


def standings(rows: Iterable[Sequence[Any]]) -> dict[Identity, Standing]:
    """What stands for each post, of rows of its key, created_at, version, generation and place."""
    return {
        (row[0], row[1]): Standing(RecordRef(*row[5:9]), row[2], row[3], row[4]) for row in rows
    }


def identity_of(entry: Entry) -> Identity:
    """Whose record it is; not of a rejection."""
    decoded = entry.decoded
    assert not isinstance(decoded, Rejection)
    return (decoded.platform, decoded.post_id)


@dataclass(frozen=True, slots=True)
class Folded:
    """What a batch comes to.

    Attributes:
        outcomes: By ordinal (the entry's place in the batch), the ledger's outcome.
        winners: By identity, the ordinal of the record that stands now. Identities whose stored
            record goes on standing are not in it.
    """

    outcomes: Mapping[int, str]
    winners: Mapping[Identity, int]


def settled(
    entries: Sequence[Entry], *, erased: Collection[int], floor: datetime | None
) -> dict[int, str]:
    """Outcomes that no stored row decides: dead letters, the erased and the expired, by ordinal."""
    outcomes: dict[int, str] = {}
    for ordinal, entry in enumerate(entries):
        decoded = entry.decoded
        if isinstance(decoded, Rejection):
            outcomes[ordinal] = "dead_lettered"
        elif ordinal in erased:
            outcomes[ordinal] = "erased"
        elif floor is not None:
            created = standing(decoded).created_at
            if created is not None and created < floor:
                outcomes[ordinal] = "expired"
    return outcomes


def fold(
    entries: Sequence[Entry],
    ordinals: Sequence[int],
    stored: Mapping[Identity, Standing],
    generation: int,
) -> Folded:
    """Folds the entries at `ordinals`, in that order, onto what is stored of their posts."""
    outcomes: dict[int, str] = {}
    winners: dict[Identity, int] = {}
    states = dict(stored)
    for ordinal in ordinals:
        entry = entries[ordinal]
        decoded = entry.decoded
        assert not isinstance(decoded, Rejection)
        identity = identity_of(entry)
        record = standing(decoded, generation)
        state, verdict = merge(states.get(identity), record)
        if state is record:
            states[identity] = record
            winners[identity] = ordinal
        if verdict == "first":
            outcomes[ordinal] = "labelled" if isinstance(entry.label, Label) else "unlabelled"
        else:
            outcomes[ordinal] = verdict
    return Folded(outcomes, winners)
