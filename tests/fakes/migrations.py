"""Migrations that a later version of the worker might bring, beside those that there are."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from worker.store.revision import newest, scripts

if TYPE_CHECKING:
    from pathlib import Path

SCRIPT = '''"""{what}."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "{revision}"
down_revision = "{before}"
branch_labels = None
depends_on = None
kind = "{kind}"
oldest = "{oldest}"


def upgrade() -> None:
    {upgrade}


def downgrade() -> None:
    op.execute(sa.text({down!r}))
'''
CONCURRENTLY = """with op.get_context().autocommit_block():
        for statement in {statements!r}:
            op.execute(sa.text(statement))"""

EXPANSION = """
ALTER TABLE posts ADD COLUMN mood integer NOT NULL DEFAULT 0;
ALTER TABLE post_emotions ADD COLUMN irony real;
ALTER TABLE stream_offsets ADD COLUMN remark text;
ALTER TABLE models ADD COLUMN seen boolean NOT NULL DEFAULT false;
CREATE TABLE moods (platform text NOT NULL, mood integer NOT NULL DEFAULT 0);
"""
EXPANSION_DOWN = """
DROP TABLE moods;
ALTER TABLE models DROP COLUMN seen;
ALTER TABLE stream_offsets DROP COLUMN remark;
ALTER TABLE post_emotions DROP COLUMN irony;
ALTER TABLE posts DROP COLUMN mood;
"""
CONTRACTION = """
SELECT pg_advisory_xact_lock(1701670772, 1);
ALTER TABLE posts RENAME COLUMN author_hash TO author;
"""
CONTRACTION_DOWN = "ALTER TABLE posts RENAME COLUMN author TO author_hash"


class Later:
    """Alembic's folder as a later version has it.

    Args:
        folder: Where it is made.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "migrations"
        shutil.copytree(scripts(), self.folder)
        self.head = newest()

    def expand(self, up: str = EXPANSION, down: str = EXPANSION_DOWN) -> str:
        """Adds an expansion; its revision."""
        return self._add("expand", "", f"op.execute(sa.text({up!r}))", down)

    def index(self, on: str = "posts (topic)") -> str:
        """Adds an expansion that builds an index while the table is written; its revision."""
        statements = [
            "SET lock_timeout = 0",
            "DROP INDEX CONCURRENTLY IF EXISTS later_index",
            f"CREATE INDEX CONCURRENTLY later_index ON {on}",
        ]
        upgrade = CONCURRENTLY.format(statements=statements)
        return self._add("expand", "", upgrade, "DROP INDEX later_index")

    def contract(
        self, oldest: str | None = None, up: str = CONTRACTION, down: str = CONTRACTION_DOWN
    ) -> str:
        """Adds a contraction, which asks for what stands before it, or for `oldest`."""
        return self._add("contract", oldest or self.head, f"op.execute(sa.text({up!r}))", down)

    def _add(self, kind: str, oldest: str, upgrade: str, down: str) -> str:
        before, self.head = self.head, f"{int(self.head) + 1:04}"
        script = SCRIPT.format(
            what=f"A later {kind}",
            revision=self.head,
            before=before,
            kind=kind,
            oldest=oldest,
            upgrade=upgrade,
            down=down,
        )
        (self.folder / "versions" / f"{self.head}_later.py").write_text(script, encoding="utf-8")
        return self.head
