"""`emotion-worker migrate`: brings the database's schema to head."""

from __future__ import annotations

import sys
from pathlib import Path  # noqa: TC003 - click reads it at run time

import click

from worker.commands.options import env_file_option
from worker.settings import load_settings
from worker.store import migrate
from worker.store.connection import address


@click.command()
@click.option("--sql", is_flag=True, help="Print the SQL from nothing to head; change nothing.")
@env_file_option
def command(*, sql: bool, env_file: Path | None) -> None:
    """Bring the schema to head; safe to repeat, and from several places at once."""
    if sql:
        migrate.upgrade_sql(sys.stdout)
        return
    url = load_settings(env_file).database
    before = migrate.current(url)
    migrate.upgrade(url)
    after = migrate.current(url)
    if before == after:
        click.echo(f"{address(url)}: the schema is at {after} already")
    else:
        click.echo(f"{address(url)}: schema {before or 'empty'} -> {after}")
