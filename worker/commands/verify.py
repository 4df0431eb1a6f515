"""`emotion-worker verify`: whether the trends equal the labels and the ledger balances."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - click reads it at run time

import click

from worker.commands.options import env_file_option
from worker.settings import load_settings
from worker.store.connection import connect, errors_for_people
from worker.store.verify import LIMIT, verify

_SHOWN = 20


@click.command()
@env_file_option
def command(*, env_file: Path | None) -> int:
    """Check that trends equal GROUP BY over labels and that the ledger balances.

    Exact, in one snapshot, beside running workers. Exits 1 with the differences, if there are any.
    """
    settings = load_settings(env_file)
    with (
        connect(settings.database, application_name="emotion-worker verify") as connection,
        errors_for_people(),
    ):
        verified = verify(connection)
    if not verified.differences:
        click.echo(
            f"exact: {verified.cells} trend cells equal {verified.labels} labels, one label for "
            f"each live post, and the ledger of {verified.consumed} records balances"
        )
        return 0
    for difference in verified.differences[:_SHOWN]:
        click.echo(f"{difference.invariant}: {difference.where}: {difference.what}")
    count = len(verified.differences)
    if count > _SHOWN:
        click.echo(f"... and {count - _SHOWN} more")
    many = "or more " if count >= LIMIT else ""
    click.echo(f"{count} {many}differences", err=True)
    return 1
