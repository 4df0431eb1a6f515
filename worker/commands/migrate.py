"""`emotion-worker migrate`: brings the database's schema to head."""

from __future__ import annotations

import sys
from pathlib import Path  # noqa: TC003 - click reads it at run time

import click

from worker.commands.options import env_file_option
from worker.settings import load_settings
from worker.store import migrate
from worker.store.connection import address
from worker.store.revision import newest


@click.command()
@click.option("--sql", is_flag=True, help="Print the SQL from nothing to head; change nothing.")
@click.option("--plan", is_flag=True, help="Print what would be done, and whom it ends; do not.")
@click.option(
    "--wait",
    type=click.FloatRange(min=0),
    default=migrate.WAIT_S,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait for locks, for another migrate, and for older workers to go.",
)
@click.option("--force", is_flag=True, help="End older workers that do not know the new schema.")
@env_file_option
def command(*, sql: bool, plan: bool, wait: float, force: bool, env_file: Path | None) -> None:
    """Bring the schema to head; safe beside workers, to repeat, and from several places at once."""
    if sql:
        migrate.upgrade_sql(sys.stdout)
        return
    url = load_settings(env_file).database
    if plan:
        click.echo("\n".join(map(str, migrate.pending(url))) or "nothing to do")
        return
    done = migrate.upgrade(
        url, wait_s=wait, force=force, say=lambda what: click.echo(what, err=True)
    )
    if done.before is None:
        click.echo(f"{address(url)}: schema empty -> {done.after}")
    elif done.before != done.after:
        click.echo(f"{address(url)}: schema {done.before} -> {done.after}; {_for_workers(done)}")
    elif done.after == newest():
        click.echo(f"{address(url)}: the schema is at {done.after} already")
    else:
        click.echo(
            f"{address(url)}: the schema is at {done.after}, beyond {newest()}, and lets "
            "workers of this version go on: nothing to do"
        )


def _for_workers(done: migrate.Migrated) -> str:
    if done.ended:
        return f"workers that do not know {done.oldest} are refused from now on"
    return f"workers that know {done.oldest} go on"
