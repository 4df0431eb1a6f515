"""Positions, identities, labels, cells, dead letters, models and the trend view.

Revision ID: 0001
Revises: nothing
"""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision: str | None = None
branch_labels = None
depends_on = None
kind = "expand"


def upgrade() -> None:
    _run("0001_up.sql")


def downgrade() -> None:
    _run("0001_down.sql")


def _run(name: str) -> None:
    path = Path(__file__).parents[1] / "sql" / name
    op.execute(sa.text(path.read_text(encoding="utf-8")))
