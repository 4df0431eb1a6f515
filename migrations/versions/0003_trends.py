"""Rolling windows, share of voice, model changes and spikes; cells by model.

Revision ID: 0003
Revises: 0002
"""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision: str | None = "0002"
branch_labels = None
depends_on = None
kind = "contract"
oldest = "0003"  # cells by model are written by whoever writes labels


def upgrade() -> None:
    _run("0003_up.sql")


def downgrade() -> None:
    _run("0003_down.sql")


def _run(name: str) -> None:
    path = Path(__file__).parents[1] / "sql" / name
    op.execute(sa.text(path.read_text(encoding="utf-8")))
