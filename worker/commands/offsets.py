"""`emotion-worker offsets`: the group's positions, which live in Postgres."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path  # noqa: TC003 - click reads it at run time
from typing import TYPE_CHECKING

import click

from worker.commands import offsets_retire, offsets_set
from worker.commands.options import env_file_option, setting_option
from worker.commands.tables import plain_table, print_table
from worker.errors import DependencyError
from worker.settings import load_settings
from worker.source import TopicPartition
from worker.spans import format_age
from worker.store.connection import errors_for_people
from worker.store.offsets import read_positions
from worker.store.revision import connect_migrated

if TYPE_CHECKING:
    from rich.table import Table

    from worker.settings import Settings
    from worker.store.interface import Position


@click.group(invoke_without_command=True)
@click.pass_context
def command(ctx: click.Context) -> None:
    """Show the group's positions, which live in Postgres, move them, or give them up."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(show)


command.add_command(offsets_set.command)
command.add_command(offsets_retire.command)


@command.command()
@setting_option("group")
@click.option("--all", "retired", is_flag=True, help="Also the retired ones.")
@click.option("--json", "as_json", is_flag=True, help="One JSON array instead of a table.")
@env_file_option
def show(
    *,
    group: str | None = None,
    retired: bool = False,
    as_json: bool = False,
    env_file: Path | None = None,
) -> None:
    """Show where the group reads, and what became of each record.

    The lag is asked of the broker, if WORKER_KAFKA_BOOTSTRAP_SERVERS is set and it answers.
    """
    settings = load_settings(env_file, group=group)
    with (
        errors_for_people(),
        connect_migrated(
            settings.database, application_name="emotion-worker offsets"
        ) as connection,
    ):
        rows = read_positions(connection, settings.group)
    rows = [row for row in rows if retired or row.retired_at is None]
    ends, why = _ends(settings, rows)
    if as_json:
        click.echo(json.dumps([_object(row, ends) for row in rows], default=str))
        return
    if not rows:
        click.echo(f"The group {settings.group} has no positions here yet.")
        return
    print_table(_table(settings.group, rows, ends))
    if why is not None:
        click.echo(f"lag unknown: {why}", err=True)


def _ends(settings: Settings, rows: list[Position]) -> tuple[dict[TopicPartition, int], str | None]:
    if settings.kafka_bootstrap_servers is None:
        return {}, "WORKER_KAFKA_BOOTSTRAP_SERVERS is not set"
    places = [
        TopicPartition.of(row.partition)
        for row in rows
        if row.retired_at is None and not row.partition.topic.startswith("@")
    ]
    from worker.source.lookup import end_offsets  # noqa: PLC0415 - only where a broker is set

    try:
        return end_offsets(settings, places), None
    except DependencyError as error:
        return {}, str(error)


def _lag(row: Position, ends: dict[TopicPartition, int]) -> int | None:
    end = ends.get(TopicPartition.of(row.partition))
    if end is None or row.retired_at is not None:
        return None
    return max(0, end - (row.next_offset or 0))


def _object(row: Position, ends: dict[TopicPartition, int]) -> dict[str, object]:
    return {
        "topic": row.partition.topic,
        "topic_id": str(row.partition.topic_id),
        "partition": row.partition.number,
        "next_offset": row.next_offset,
        "lag_records": _lag(row, ends),
        "watermark": None if row.watermark is None else row.watermark.isoformat(),
        "owner_epoch": row.owner_epoch,
        "owner_id": row.owner_id,
        "updated_at": row.updated_at.isoformat(),
        "retired_at": None if row.retired_at is None else row.retired_at.isoformat(),
        "consumed": row.consumed,
        **row.outcomes,
    }


def _table(group: str, rows: list[Position], ends: dict[TopicPartition, int]) -> Table:
    table = plain_table(f"group {group}")
    table.add_column("partition", no_wrap=True)
    for name in ("next", "lag", "consumed"):
        table.add_column(name, justify="right")
    table.add_column("became")
    table.add_column("watermark (UTC)")
    table.add_column("owner")
    for row in rows:
        lag = _lag(row, ends)
        table.add_row(
            str(row.partition) + (" (retired)" if row.retired_at else ""),
            "unclaimed" if row.next_offset is None else str(row.next_offset),
            "?" if lag is None else str(lag),
            str(row.consumed),
            ", ".join(f"{count} {name}" for name, count in row.outcomes.items() if count) or "-",
            "-" if row.watermark is None else f"{row.watermark.astimezone(UTC):%Y-%m-%d %H:%M:%S}",
            f"{row.owner_id or '-'} ({format_age(datetime.now(UTC) - row.updated_at)})",
        )
    return table
