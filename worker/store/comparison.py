"""A replay's labels compared with the live ones, counted in the database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from worker.errors import WorkerError
from worker.store.compared import Comparison, Disagreement, Pair, value_shifts
from worker.store.queries import query
from worker.trends import DIMENSIONS

if TYPE_CHECKING:
    from collections.abc import Sequence

    import psycopg

    from worker.store.replays import Replay

COMPARED_BY: Final = DIMENSIONS[1:]
"""All but `all`, which is the comparison itself."""


def compare(
    connection: psycopg.Connection,
    replay: Replay,
    *,
    dimensions: Sequence[str] = COMPARED_BY,
    top: int,
) -> Comparison:
    """Compares what the replay says with what stands, or, once promoted, with what stood before.

    Only posts of which both have a label of the same version are compared; the rest is counted.
    All is of one moment. It may run beside workers and the replay, and writes to a temporary table
    alone.

    Args:
        connection: Not in a transaction, not in autocommit.
        replay: Which one.
        dimensions: Of `COMPARED_BY`.
        top: How many values of each dimension, and how many disagreements.

    Raises:
        WorkerError: The replay keeps no labels to compare.
    """
    _comparable(replay)
    name = replay.plan.name
    connection.execute(query("compare_table"))
    connection.execute(query("compare_load"), {"replay": name, "generation": replay.generation})
    coverage = connection.execute(query("compare_coverage")).fetchall()
    pairs = connection.execute(query("compare_pairs")).fetchall()
    values = connection.execute(
        query("compare_values"), {"dimensions": list(dimensions), "top": top}
    ).fetchall()
    disagreements = connection.execute(query("compare_disagreements"), {"top": top}).fetchall()
    connection.rollback()
    left_out = {status: posts for status, _, posts in coverage if status != "compared"}
    return Comparison(
        name,
        replay.state,
        replay.progress,
        replay.model,
        tuple((model or "?", posts) for status, model, posts in coverage if status == "compared"),
        left_out.get("superseded", 0),
        left_out.get("withdrawn", 0),
        left_out.get("unseen", 0),
        tuple(Pair(*row) for row in pairs),
        value_shifts(values),
        tuple(Disagreement(*row) for row in disagreements),
    )


def labels_beside(connection: psycopg.Connection, replay: Replay) -> tuple[int, int]:
    """How many labels of its own a replay keeps, and how many for its rollback."""
    row = connection.execute(
        query("compare_beside"), {"replay": replay.plan.name, "generation": replay.generation}
    ).fetchone()
    connection.rollback()
    assert row is not None
    return int(row[0]), int(row[1])


def _comparable(replay: Replay) -> None:
    name = replay.plan.name
    if replay.plan.kind != "shadow":
        raise WorkerError(
            f"The replay {name} is not a shadow: it replaces labels as it reads them, and nothing "
            "is left to compare with."
        )
    if replay.state in {"discarding", "discarded"}:
        raise WorkerError(f"The replay {name} was discarded: nothing is left to compare.")
    if replay.state in {"rolling_back", "rolled_back"}:
        raise WorkerError(
            f"The replay {name} was rolled back: its own labels are gone. Begin another, with "
            "another --name, to compare."
        )
