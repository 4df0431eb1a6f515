"""The migrations, and what each asks of workers: the one thing that a script says besides its SQL.

`kind = "expand"`: workers of the version before it go on. `kind = "contract"` takes away what some
rely on; its `oldest` is the oldest revision that a worker must know to go on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

import sqlalchemy as sa

from worker import __version__
from worker.store.schema import schema_revisions

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from alembic.runtime.migration import MigrationContext, MigrationInfo
    from alembic.script import Script, ScriptDirectory

Kind = Literal["expand", "contract"]

LOCK_TIMEOUT_S: Final = 2
"""Writers and readers of a table wait behind a migration that waits for it: for so long at most.
Longer than the second after which Postgres ends an autovacuum that is in the way."""
NOTED_FROM: Final = "0005"
"""The migration that makes the table where they are noted."""


@dataclass(frozen=True, slots=True)
class Step:
    """A migration.

    Attributes:
        revision: What the schema is at after it.
        kind: Whether all workers of the version before it go on with it.
        oldest: The oldest revision that a worker must know from then on.
        what: Its first line.
    """

    revision: str
    kind: Kind
    oldest: str
    what: str

    def __str__(self) -> str:
        """For people."""
        asks = f" (workers must know {self.oldest})" if self.kind == "contract" else ""
        return f"{self.revision} {self.kind}: {self.what}{asks}"


def steps(directory: ScriptDirectory) -> list[Step]:
    """All of them, from the first one on."""
    return _steps(reversed([*directory.walk_revisions()]))


def _steps(scripts: Iterable[Script]) -> list[Step]:
    found: list[Step] = []
    for script in scripts:
        kind: Kind = script.module.kind
        revision = str(script.revision)
        oldest = found[-1].oldest if found else revision
        if kind == "contract":
            oldest = max(oldest, str(script.module.oldest))
        found.append(Step(revision, kind, oldest, script.doc.rstrip(".")))
    return found


def wait_briefly(execute: Callable[[Any], object]) -> None:
    """Has this session wait for each lock for `LOCK_TIMEOUT_S` at most from now on."""
    execute(sa.select(sa.func.set_config("lock_timeout", f"{LOCK_TIMEOUT_S}s", False)))


def note(
    ctx: MigrationContext,
    step: MigrationInfo,
    heads: Collection[Any],  # noqa: ARG001 - Alembic's name
    run_args: Mapping[str, Any],  # noqa: ARG001
) -> None:
    """Writes down, in the migration's transaction, what it asks of workers. Alembic calls it."""
    if not ctx.as_sql:
        # One that builds an index without an end to its patience must not lend that to the next.
        wait_briefly(ctx.execute)
    revision = step.up_revision_id
    assert revision is not None
    if revision < NOTED_FROM:
        return
    if step.is_upgrade:
        lineage: Any = reversed([*step.revision_map.iterate_revisions(revision, "base")])
        values = {
            "revision": revision,
            "oldest": _steps(lineage)[-1].oldest,
            "applied_by": __version__,
        }
        ctx.execute(schema_revisions.insert().values(values))
    elif revision != NOTED_FROM:
        ctx.execute(
            schema_revisions.delete().where(schema_revisions.c.revision == revision),
        )
