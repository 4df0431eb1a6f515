"""`emotion-worker services`: an embedded broker and Postgres in the foreground."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from worker.errors import WorkerError

if TYPE_CHECKING:
    from worker.local.services import LocalServices

_PORT = click.IntRange(0, 65_535)


@click.command("services", short_help="an embedded broker and Postgres in the foreground")
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path, file_okay=False),
    help="Keep the database and the logs in this folder. [default: a temporary one]",
)
@click.option(
    "--kafka-port",
    type=_PORT,
    default=19_092,
    show_default=True,
    help="Where the broker listens on 127.0.0.1; 0 takes any free port.",
)
@click.option(
    "--postgres-port",
    type=_PORT,
    default=15_432,
    show_default=True,
    help="Where Postgres listens on 127.0.0.1; 0 takes any free port.",
)
def command(data_dir: Path | None, kafka_port: int, postgres_port: int) -> None:
    """Runs an embedded broker and Postgres until Ctrl-C or SIGTERM.

    Once both answer, two lines are printed on stdout, in the form of an env file:
    WORKER_KAFKA_BOOTSTRAP_SERVERS=... and WORKER_DATABASE_URL=... The database is empty: run
    `emotion-worker migrate` next. The broker keeps its data in memory only. For trying out and for
    tests, not for production.
    """
    from worker.local.services import LocalServices  # noqa: PLC0415 (the extra `local`)

    services = LocalServices(data_dir, kafka_port=kafka_port, postgres_port=postgres_port)
    # SIGTERM breaks off whatever is going on, as Ctrl-C does; also if we were started with SIGINT
    # ignored, as a shell's background jobs are.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.default_int_handler)
    try:
        with services:
            try:
                _announce(services, data_dir)
                _watch(services)
            finally:
                # One signal is enough: a second must not break off the clean-up.
                for number in (signal.SIGTERM, signal.SIGINT):
                    signal.signal(number, signal.SIG_IGN)
    except KeyboardInterrupt:
        click.echo("Both are stopped.", err=True)


def _announce(services: LocalServices, data_dir: Path | None) -> None:
    click.echo(f"WORKER_KAFKA_BOOTSTRAP_SERVERS={services.bootstrap_servers}")
    click.echo(f"WORKER_DATABASE_URL={services.database_url}")
    kept = "is removed when it stops" if data_dir is None else f"is kept in {data_dir}"
    click.echo(
        f"Ready. The broker keeps its data in memory only; the database {kept}. Ctrl-C stops both.",
        err=True,
    )


def _watch(services: LocalServices) -> NoReturn:
    while True:
        failure = services.failure()
        if failure is not None:
            raise WorkerError(f"{failure}\nThe other one is stopped too. Start both again.")
        time.sleep(0.2)
