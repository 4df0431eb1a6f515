"""Replays: what each one reads, the labels of shadows, and those kept for a rollback.

Revision ID: 0004
Revises: 0003
"""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision: str | None = "0003"
branch_labels = None
depends_on = None
kind = "contract"
oldest = "0004"  # whoever does not merge into kept labels, spoils a rollback


def upgrade() -> None:
    _run("0004_up.sql")


def downgrade() -> None:
    _run("0004_down.sql")


def _run(name: str) -> None:
    path = Path(__file__).parents[1] / "sql" / name
    op.execute(sa.text(path.read_text(encoding="utf-8")))
