"""`emotion-worker offsets set`: positions moved by hand, under running workers too."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path  # noqa: TC003 - click reads it at run time
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from worker.commands.moments import zoned_time
from worker.commands.options import env_file_option, setting_option
from worker.commands.tables import plain_table, print_table
from worker.errors import SettingsError, WorkerError
from worker.posts.times import to_ms
from worker.settings import load_settings
from worker.store.connection import errors_for_people
from worker.store.offsets import move, read_positions
from worker.store.revision import connect_migrated

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.table import Table

    from worker.settings import Settings
    from worker.source.lookup import TopicLog
    from worker.store.offsets import Moved

Target = str | int | datetime
"""Where to: `earliest`, `latest`, an offset, or the first record that is not older than a time."""


class _To(click.ParamType["Target"]):
    """`earliest`, `latest`, an offset, or a time."""

    name = "position"

    def convert(
        self, value: Target, param: click.Parameter | None, ctx: click.Context | None
    ) -> Target:
        if not isinstance(value, str) or value in {"earliest", "latest"}:
            return value
        if value.isascii() and value.isdecimal():
            return int(value)
        time = zoned_time(value)
        if time is None:
            self.fail(
                f"{value!r} is neither earliest, latest, an offset, nor a time with a zone, as "
                "2026-03-01T12:00:00Z.",
                param,
                ctx,
            )
        return time


@click.command("set")
@setting_option("group")
@click.option("--topic", required=True, help="Whose positions to move.")
@click.option(
    "--partition",
    "numbers",
    type=click.IntRange(0),
    multiple=True,
    help="Only this one; may be repeated. Default: all partitions of the topic.",
)
@click.option(
    "--to",
    "target",
    type=_To(),
    required=True,
    metavar="earliest|latest|OFFSET|TIME",
    help="Where to read on: an end of the log, an offset, or the first record of a time or later "
    "(RFC 3339, by the records' own timestamps).",
)
@click.option("--dry-run", is_flag=True, help="Show what would be moved, and move nothing.")
@env_file_option
def command(
    *,
    group: str | None,
    topic: str,
    numbers: tuple[int, ...],
    target: Target,
    dry_run: bool,
    env_file: Path | None,
) -> None:
    """Move the group's positions; running workers read on from there within seconds.

    The group need not have run yet. What is read again changes no label: it counts as duplicates.
    """
    settings = load_settings(env_file, group=group)
    _ = settings.kafka, settings.database  # missing ones are said before anything is looked up

    from worker.source.lookup import topic_log  # noqa: PLC0415 - `show` may do without Kafka

    with (
        errors_for_people(),
        connect_migrated(
            settings.database, application_name="emotion-worker offsets"
        ) as connection,
    ):
        log = topic_log(settings, topic)
        targets = resolve(settings, log, sorted(set(numbers)) or sorted(log.bounds), target)
        other = [
            row
            for row in read_positions(connection, settings.group, [topic])
            if row.retired_at is None and row.partition.topic_id != log.topic_id
        ]
        moved = move(
            connection,
            group=settings.group,
            log=(log.topic, log.topic_id),
            siblings=max(log.bounds) + 1,
            targets=targets,
            dry_run=dry_run,
        )
    print_table(_moved_table(settings.group, log, moved, dry_run=dry_run))
    if other:
        click.echo(
            f"The group also has positions in another log that had the name {topic}: the topic was "
            "made anew, or this is another broker. They are retired once a worker reads the new "
            "one.",
            err=True,
        )


def resolve(
    settings: Settings, log: TopicLog, numbers: Sequence[int], target: Target
) -> dict[int, int]:
    """The offset that `target` means in each of the partitions `numbers`.

    Raises:
        SettingsError: The topic has no such partition.
        WorkerError: An offset lies outside of a partition's log.
        DependencyError: The broker does not answer.
    """
    if unknown := [number for number in numbers if number not in log.bounds]:
        raise SettingsError(
            f"--partition {unknown[0]}: the topic {log.topic} has the partitions "
            f"{min(log.bounds)} to {max(log.bounds)}."
        )
    if isinstance(target, datetime):
        return _at(settings, log, numbers, target)
    if isinstance(target, int):
        outside = {
            number: log.bounds[number]
            for number in numbers
            if not log.bounds[number][0] <= target <= log.bounds[number][1]
        }
        if outside:
            bounds = ", ".join(
                f"{log.topic}/{number} has {first} to {end}"
                for number, (first, end) in outside.items()
            )
            raise WorkerError(
                f"--to {target} lies outside of the log: {bounds}. Nothing was moved."
            )
        return dict.fromkeys(numbers, target)
    return {number: log.bounds[number][target == "latest"] for number in numbers}


def _at(
    settings: Settings, log: TopicLog, numbers: Sequence[int], time: datetime
) -> dict[int, int]:
    from worker.source.lookup import offsets_at  # noqa: PLC0415

    console = Console(stderr=True)
    with Progress(
        TextColumn("looking for {task.description}"),
        BarColumn(),
        TextColumn("{task.completed:,} records"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as progress:
        total = sum(end - first for first, end in (log.bounds[number] for number in numbers))
        task = progress.add_task(f"{time:%Y-%m-%d %H:%M:%S} UTC", total=total)
        return offsets_at(
            settings,
            log,
            numbers,
            to_ms(time),
            lambda records: progress.advance(task, records),
        )


def _moved_table(group: str, log: TopicLog, moved: Sequence[Moved], *, dry_run: bool) -> Table:
    table = plain_table(f"group {group}: " + ("would be moved" if dry_run else "moved"))
    table.add_column("partition", no_wrap=True)
    for name in ("from", "to", "passed over", "read again"):
        table.add_column(name, justify="right")
    for row in moved:
        over, again = distance(row, log.bounds)
        table.add_row(
            f"{log.topic}/{row.number}",
            "-" if row.before is None else str(row.before),
            str(row.after),
            str(over),
            str(again),
        )
    return table


def distance(row: Moved, bounds: Mapping[int, tuple[int, int]]) -> tuple[int, int]:
    """How many offsets of the log a move passes over, and how many are read again.

    Some may hold no record: transaction markers, compacted gaps.
    """
    first, end = bounds[row.number]
    before = first if row.before is None else min(max(row.before, first), end)
    return max(0, row.after - before), max(0, before - row.after)
