"""Alembic's entry: runs the scripts on the connection that `worker.store.migrate` hands over."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa
from alembic import context

from worker.store.schema import metadata
from worker.store.steps import note

if TYPE_CHECKING:
    from sqlalchemy.sql.schema import SchemaItem


def _is_partition(connection: sa.Connection, name: str) -> bool:
    return bool(
        connection.scalar(
            sa.text("SELECT relispartition FROM pg_class WHERE oid = to_regclass(:name)"),
            {"name": f'"{name}"'},
        )
    )


def main() -> None:
    connection: sa.Connection | None = context.config.attributes.get("connection")

    def ours(
        _item: SchemaItem, name: str | None, kind: str, reflected: bool, _other: SchemaItem | None
    ) -> bool:
        # Day partitions come and go with time; they are data, not schema.
        return not (
            connection is not None
            and reflected
            and kind == "table"
            and name is not None
            and _is_partition(connection, name)
        )

    context.configure(
        connection=connection,
        dialect_name="postgresql",
        target_metadata=metadata,
        include_object=ours,
        compare_type=True,
        compare_server_default=True,
        literal_binds=connection is None,
        transaction_per_migration=True,
        on_version_apply=note,
    )
    with context.begin_transaction():
        context.run_migrations()


main()
