"""The circuit breaker's mark, and an index for the upkeep.

Revision ID: 0002
Revises: 0001
"""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision: str | None = "0001"
branch_labels = None
depends_on = None
kind = "contract"
oldest = "0002"  # whoever does not note authors, hides their posts from `forget`


def upgrade() -> None:
    _run("0002_up.sql")


def downgrade() -> None:
    _run("0002_down.sql")


def _run(name: str) -> None:
    path = Path(__file__).parents[1] / "sql" / name
    op.execute(sa.text(path.read_text(encoding="utf-8")))
