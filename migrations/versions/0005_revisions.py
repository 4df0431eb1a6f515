"""What each migration asks of workers, noted where workers of before it can read it.

And the texts of spikes in step with their ids.

Revision ID: 0005
Revises: 0004
"""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision: str | None = "0004"
branch_labels = None
depends_on = None
kind = "expand"


def upgrade() -> None:
    _run("0005_up.sql")


def downgrade() -> None:
    _run("0005_down.sql")


def _run(name: str) -> None:
    path = Path(__file__).parents[1] / "sql" / name
    op.execute(sa.text(path.read_text(encoding="utf-8")))
