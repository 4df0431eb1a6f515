"""`emotion-worker maintain`: days ahead, retention, folded cells."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path  # noqa: TC003 - click reads it at run time

import click

from worker.commands.options import env_file_option, setting_option
from worker.errors import WorkerError
from worker.settings import load_settings
from worker.store.maintain import Keep, maintain
from worker.store.session import Session


@click.command()
@setting_option("retention_days", type=int)
@setting_option("trend_retention_days", type=int)
@setting_option("dead_letter_retention_days", type=int)
@env_file_option
def command(*, env_file: Path | None, **flags: int | None) -> int:
    """Make coming days' partitions, drop what is past retention, fold closed trend cells.

    Workers do this by themselves every WORKER_MAINTAIN_SECONDS; this does it now, as from a cron
    job under a role that may make and drop partitions. It may run beside workers.
    """
    settings = load_settings(env_file, **flags)
    with Session(settings.database, name="emotion-worker maintain") as session:
        done = maintain(session, Keep.of(settings), now=datetime.now(UTC))
    if done is None:
        raise WorkerError("Another process maintains this database right now; nothing to do here.")
    for name, said in done.words().items():
        click.echo(f"{name.replace('_', ' '):<14} {said}")
    if not done.words():
        click.echo("nothing to do")
    return 1 if done.left else 0
