"""`emotion-worker offsets retire`: positions given up, so that they hold no bucket back."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path  # noqa: TC003 - click reads it at run time
from typing import TYPE_CHECKING

import click

from worker.commands.options import env_file_option, setting_option
from worker.commands.tables import plain_table, print_table
from worker.errors import SettingsError, WorkerError
from worker.settings import load_settings
from worker.spans import format_age
from worker.store.connection import errors_for_people
from worker.store.offsets import IDLE_S, read_positions, retire
from worker.store.revision import connect_migrated

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from worker.store.offsets import Retired


@click.command("retire")
@setting_option("group")
@click.option("--topic", help="Only of this topic. Default: all that the group reads.")
@click.option(
    "--partition",
    "numbers",
    type=click.IntRange(0),
    multiple=True,
    help="Only this one; may be repeated.",
)
@click.option("--force", is_flag=True, help="Also where a worker seems to be at work.")
@click.option("--dry-run", is_flag=True, help="Show what would be retired, and retire nothing.")
@env_file_option
def command(
    *,
    group: str | None,
    topic: str | None,
    numbers: tuple[int, ...],
    force: bool,
    dry_run: bool,
    env_file: Path | None,
) -> None:
    """Give positions up, so that an abandoned group or topic holds no trend window back.

    Nothing is removed: a worker of the group that reads the topic again goes on where it stood.
    """
    settings = load_settings(env_file, group=group)
    if numbers and topic is None:
        raise SettingsError("--partition needs --topic.")
    with (
        errors_for_people(),
        connect_migrated(
            settings.database, application_name="emotion-worker offsets"
        ) as connection,
    ):
        known = read_positions(connection, settings.group, None if topic is None else [topic])
        retired, busy = retire(
            connection,
            group=settings.group,
            topic=topic,
            numbers=sorted(set(numbers)) or None,
            force=force,
            dry_run=dry_run,
        )
    if busy:
        raise WorkerError(_in_the_way(settings.group, busy))
    if retired:
        print_table(_retired_table(settings.group, retired, dry_run=dry_run))
    elif any(not numbers or row.partition.number in numbers for row in known):
        click.echo(f"The group {settings.group} has nothing to retire there: all is retired.")
    else:
        raise WorkerError(
            f"The group {settings.group} has no such positions in this database. "
            "`emotion-worker offsets show --all` lists what it has; are WORKER_GROUP and --topic "
            "right?"
        )


def _in_the_way(group: str, busy: Sequence[Retired]) -> str:
    row = min(busy, key=lambda row: row.idle_s)
    more = f" (and {len(busy) - 1} more)" if len(busy) > 1 else ""
    age = format_age(timedelta(seconds=row.idle_s))
    return (
        f"{row.partition}{more} was written {age} by {row.owner_id or 'nobody yet'}: "
        f"a worker of the group {group} seems to run, and would bring it back. Stop it and wait "
        f"for {IDLE_S:.0f} s, or add --force. Nothing was retired."
    )


def _retired_table(group: str, retired: Sequence[Retired], *, dry_run: bool) -> Table:
    table = plain_table(f"group {group}: " + ("would be retired" if dry_run else "retired"))
    table.add_column("partition", no_wrap=True)
    table.add_column("next", justify="right")
    table.add_column("last written")
    for row in retired:
        table.add_row(
            str(row.partition),
            "-" if row.next_offset is None else str(row.next_offset),
            f"{format_age(timedelta(seconds=row.idle_s))} by {row.owner_id or '-'}",
        )
    return table
