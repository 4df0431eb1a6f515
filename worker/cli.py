"""The `emotion-worker` command: its subcommands, and what each does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from worker import __version__
from worker.subcommands import LazyGroup, run

if TYPE_CHECKING:
    from collections.abc import Sequence

COMMANDS: Final = {
    "demo": "the whole product on this machine, with nothing installed",
    "run": "join the consumer group and work until SIGTERM",
    "services": "an embedded broker and Postgres in the foreground",
    "migrate": "bring the database's schema to head",
    "check": "preflight: settings, broker, topics, schema, model",
    "publish": "load JSONL or CSV posts into a topic",
    "classify": "label texts from arguments or stdin",
    "trends": "read the trend tables: table, chart, JSON",
    "replay": "label a stretch of the past again, beside the live stream",
    "replays": "the replays: list, show, compare, promote, discard, rollback",
    "offsets": "the group's positions, which live in Postgres",
    "dead-letters": "the rejected records: list, show, retry, drop",
    "forget": "erase posts everywhere, for good",
    "maintain": "coming days, retention, closed trend cells",
    "verify": "check that the trends equal the labels and the ledger balances",
}
"""Each subcommand is `command` in `worker.commands.<name>`; a help page imports none of them."""


@click.command(
    cls=LazyGroup,
    subcommands=COMMANDS,
    package="worker.commands",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="emotion-worker")
def app() -> None:
    """Posts on Kafka in, exact emotion trends in Postgres out.

    Settings are read from WORKER_... environment variables, or from a file given with --env-file.
    New here? `emotion-worker demo` shows the whole product in under a minute.
    """


def main(args: Sequence[str] | None = None) -> None:
    """Runs the command line and exits; the codes are those of `worker.subcommands.run`."""
    run(app, "emotion-worker", args)
