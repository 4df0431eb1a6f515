"""`emotion-worker verify`: whether the trends equal the labels and the ledger balances."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path  # noqa: TC003 - click reads it at run time
from typing import TYPE_CHECKING

import click

from worker.commands.options import env_file_option
from worker.commands.tables import plain_table, print_table
from worker.settings import load_settings
from worker.store.connection import errors_for_people
from worker.store.repair import KINDS, repair
from worker.store.revision import connect_migrated
from worker.store.session import Session
from worker.store.verify import LIMIT, verify

if TYPE_CHECKING:
    from worker.settings import Settings
    from worker.store.repair import Repaired
    from worker.store.verify import Verified

_SHOWN = 20


@click.command()
@click.option(
    "--repair",
    "mend",
    is_flag=True,
    help="First bring identities and trends in line with the labels, beside running workers.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of words.")
@env_file_option
def command(*, mend: bool, as_json: bool, env_file: Path | None) -> int:
    """Check that trends equal GROUP BY over labels and that the ledger balances.

    Exact, in one snapshot, beside running workers. Exits 1 with the differences, if there are any.
    """
    settings = load_settings(env_file)
    repaired = _repair(settings) if mend else None
    with (
        errors_for_people(),
        connect_migrated(settings.database, application_name="emotion-worker verify") as connection,
    ):
        verified = verify(connection)
    if as_json:
        click.echo(json.dumps(_object(verified, repaired)))
    else:
        if repaired is not None:
            _show_repaired(repaired)
        _show_verified(verified)
    return 1 if verified.differences else 0


def _repair(settings: Settings) -> Repaired:
    with Session(settings.database, name="emotion-worker verify", writes=True) as session:
        return repair(settings.database, session)


def _show_repaired(repaired: Repaired) -> None:
    if not repaired.days:
        click.echo("nothing to repair")
        return
    table = plain_table("repaired")
    table.add_column("day (UTC)", no_wrap=True)
    for kind in KINDS:
        table.add_column(kind, justify="right")
    for day, counts in sorted(repaired.days.items()):
        table.add_row(day.isoformat(), *(str(counts[kind]) for kind in KINDS))
    if len(repaired.days) > 1:
        total = sum(repaired.days.values(), Counter[str]())
        table.add_section()
        table.add_row("all", *(str(total[kind]) for kind in KINDS))
    print_table(table)
    if repaired.lost:
        more = len(repaired.lost) - _SHOWN
        click.echo(
            f"{len(repaired.lost)} live posts had no label: "
            + ", ".join(sorted(repaired.lost)[:_SHOWN])
            + (f" and {more} more" if more > 0 else "")
            + ". A label cannot be made up: read their records again (`emotion-worker offsets set "
            "--to TIME`), and they are back.",
            err=True,
        )


def _show_verified(verified: Verified) -> None:
    if not verified.differences:
        click.echo(
            f"exact: {verified.cells} trend cells equal {verified.labels} labels, one label for "
            f"each live post, and the ledger of {verified.consumed} records balances"
        )
        return
    for difference in verified.differences[:_SHOWN]:
        click.echo(f"{difference.invariant}: {difference.where}: {difference.what}")
    count = len(verified.differences)
    if count > _SHOWN:
        click.echo(f"... and {count - _SHOWN} more")
    many = "or more " if count >= LIMIT else ""
    click.echo(f"{count} {many}differences; {_what_to_do(verified)}", err=True)


def _what_to_do(verified: Verified) -> str:
    if any(difference.invariant != "ledger" for difference in verified.differences):
        return "`emotion-worker verify --repair` mends all but the ledger"
    return "a ledger cannot be mended from here: what became of a record is written nowhere else"


def _object(verified: Verified, repaired: Repaired | None) -> dict[str, object]:
    found: dict[str, object] = {
        "exact": not verified.differences,
        "labels": verified.labels,
        "cells": verified.cells,
        "consumed": verified.consumed,
        "differences": [
            {"invariant": one.invariant, "where": one.where, "what": one.what}
            for one in verified.differences
        ],
    }
    if repaired is not None:
        found["repaired"] = {
            "days": {
                day.isoformat(): {kind.replace(" ", "_"): counts[kind] for kind in KINDS}
                for day, counts in sorted(repaired.days.items())
            },
            "lost": sorted(repaired.lost),
        }
    return found
