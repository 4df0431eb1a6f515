"""`emotion-worker demo`: the whole product on one machine, with nothing installed."""

from __future__ import annotations

import json
import logging
import secrets
import signal
import time
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING, Final

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from worker import logs
from worker.commands.options import setting_option
from worker.settings import given_settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from worker.local.feed import Feed
    from worker.settings import Settings
    from worker.trends import Trends

TOPIC: Final = "posts"
PARTITIONS: Final = 6
SEED: Final = 7
WIDTH: Final = timedelta(minutes=10)
SESSION_MS: Final = 2_000
"""The embedded broker lets a group's first member wait for half of this."""


@click.command()
@click.option(
    "--posts",
    type=click.IntRange(1, 5_000_000),
    default=6_000,
    show_default=True,
    help="Distinct posts of the feed.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object last on stdout.")
@click.option(
    "--plot",
    type=click.Path(path_type=Path, dir_okay=False, writable=True),
    help="Where to draw the picture.  [default: demo.png]",
)
@click.option(
    "--keep",
    type=click.Path(path_type=Path, file_okay=False),
    help="Keep the database in this folder, to look around in it afterwards.",
)
@setting_option("model", metavar="BUNDLE")
@setting_option("device")
def command(
    *,
    posts: int,
    as_json: bool,
    plot: Path | None,
    keep: Path | None,
    model: str | None,
    device: str | None,
) -> None:
    """See the whole product on this machine: no Docker, no Kafka, no Postgres needed.

    Starts an embedded broker and Postgres, publishes a generated feed in which a product is
    launched and then fails, labels it with the bundled model, and shows what people felt.
    """
    plot = plot or Path("demo.png")
    if plot.suffix.lower() != ".png" or not plot.absolute().parent.is_dir():
        raise click.BadParameter(f"{plot} must end in .png, in a folder that exists.")
    logs.configure("console")
    logging.getLogger("worker").setLevel(logging.WARNING)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    console = Console(stderr=as_json)
    try:
        summary = _Demo(posts, plot, keep, console).run(model=model, device=device)
    except KeyboardInterrupt:
        raise click.Abort from None
    if as_json:
        click.echo(json.dumps(summary))


class _Demo:
    """One demo: its steps, in order, and what it says about them."""

    def __init__(self, posts: int, plot: Path, keep: Path | None, console: Console) -> None:
        self._posts = posts
        self._plot = plot
        self._keep = keep
        self._console = console

    def run(self, *, model: str | None, device: str | None) -> dict[str, object]:
        """Runs it; the summary that `--json` prints."""
        from worker.classifier import load_classifier  # noqa: PLC0415 - torch takes seconds
        from worker.local.feed import generate  # noqa: PLC0415 - the extra `local`
        from worker.local.services import LocalServices  # noqa: PLC0415
        from worker.pipeline import Worker  # noqa: PLC0415
        from worker.store import migrate  # noqa: PLC0415
        from worker.trends import floor  # noqa: PLC0415

        say = self._console.print
        say("[bold]emotion-stream demo[/bold]: posts on Kafka in, exact emotion trends out\n")
        with ExitStack() as stack:
            with self._step("starting an embedded broker and Postgres"):
                services = stack.enter_context(LocalServices(self._keep))
            settings = given_settings(
                kafka_bootstrap_servers=services.bootstrap_servers,
                database_url=services.database_url,
                kafka_session_timeout_ms=SESSION_MS,
                group="demo",
                topics=(TOPIC,),
                author_key=secrets.token_hex(16),
                store_text=True,
                auto_offset_reset="earliest",
                model=model,
                device=device,
                metrics_port=0,
            )
            with self._step("bringing the schema to head"):
                migrate.upgrade(settings.database)
            feed = generate(self._posts, seed=SEED, end=floor(datetime.now(UTC), WIDTH))
            with self._step(f"publishing {len(feed.records):,} records to the topic {TOPIC}"):
                _publish(settings, feed)
            with self._step("loading the model"):
                classifier = load_classifier(
                    settings.model, device=settings.device, linger_ms=settings.linger_ms
                )
            started = time.monotonic()
            with self._progress(settings, len(feed.records)):
                Worker(settings, classifier).run(drain=True)
            seconds = time.monotonic() - started
            summary, trends = _look(settings, feed, seconds)
            summary["model"] = f"{classifier.info.name} {classifier.info.version}"
            self._show(summary, trends, feed)
            if self._keep is not None:
                say(f"\nThe database is kept: emotion-worker services --data-dir {self._keep}")
        return summary

    @contextmanager
    def _step(self, what: str) -> Iterator[None]:
        started = time.monotonic()
        with self._console.status(what):
            yield
        self._console.print(f"  {what} [dim]({time.monotonic() - started:.1f} s)[/dim]")

    @contextmanager
    def _progress(self, settings: Settings, records: int) -> Iterator[None]:
        """Shows how many records the ledger has, beside the worker."""
        from worker.store.postgres import PostgresStore  # noqa: PLC0415

        stop = Event()
        progress = Progress(
            TextColumn("  labelling and storing"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=self._console,
        )
        store = PostgresStore(settings.database, group=settings.group)

        def watch() -> None:
            task = progress.add_task("records", total=records)
            while not stop.wait(0.3):
                done = sum(row.consumed for row in store.positions(settings.group))
                progress.update(task, completed=done)
            progress.update(task, completed=records)

        thread = Thread(target=watch, daemon=True)
        with progress:
            thread.start()
            try:
                yield
            finally:
                stop.set()
                thread.join(2)
                store.close()

    def _show(self, summary: dict[str, object], trends: Trends, feed: Feed) -> None:
        from worker.charts.png import Mark, draw_png  # noqa: PLC0415 - matplotlib takes a second
        from worker.charts.terminal import render_terminal  # noqa: PLC0415

        self._console.print()
        self._console.print(render_terminal(trends))
        draw_png(
            trends,
            self._plot,
            title="What people felt about Lumivane, in the demo's feed",
            marks=[
                Mark(feed.plot.launch, "launch"),
                Mark(feed.plot.outage, "outage"),
                Mark(feed.plot.recovery, "it works again"),
            ],
        )
        agreement = summary["agreement"]
        self._console.print(
            f"\n{summary['posts']:,} posts in {summary['seconds']} s "
            f"({summary['posts_per_second']} posts/s), {summary['duplicates']} redelivered and "
            f"{summary['dead_letters']} malformed records; every post counted once.\n"
            f"The launch was at {feed.plot.launch:%H:%M} UTC, the outage at "
            f"{feed.plot.outage:%H:%M} UTC. The model and the feed's author agree on "
            f"{'-' if agreement is None else f'{agreement:.0%}'} of the posts.\n"
            f"Picture: [bold]{self._plot}[/bold]",
            highlight=False,
        )


def _publish(settings: Settings, feed: Feed) -> None:
    from worker.source.admin import ensure_topic  # noqa: PLC0415
    from worker.source.producer import Producer  # noqa: PLC0415

    ensure_topic(settings, TOPIC, PARTITIONS)
    with Producer(settings) as producer:
        for record in feed.records:
            producer.send(TOPIC, record.key, record.value, timestamp_ms=record.timestamp_ms)
        producer.flush()


def _look(settings: Settings, feed: Feed, seconds: float) -> tuple[dict[str, object], Trends]:
    from worker.local.feed import agreement  # noqa: PLC0415
    from worker.store.connection import connect  # noqa: PLC0415
    from worker.store.summary import read_summary  # noqa: PLC0415
    from worker.store.trends import read_trends  # noqa: PLC0415
    from worker.trends import floor  # noqa: PLC0415

    with connect(settings.database, application_name="emotion-worker demo") as connection:
        found = read_summary(connection, settings.group)
        trends = read_trends(
            connection,
            width=WIDTH,
            since=floor(feed.plot.start, WIDTH),
            until=feed.plot.end,
        )
    agreed = agreement(feed.script, found.emotions)
    return {
        "posts": feed.posts,
        "labelled": found.labelled,
        "unlabelled": found.unlabelled,
        "duplicates": found.outcomes["duplicates"],
        "dead_letters": found.dead_letters,
        "trend_posts": found.trend_posts,
        "seconds": round(seconds, 2),
        "posts_per_second": round(feed.posts / seconds, 1),
        "agreement": None if agreed is None else round(agreed, 4),
    }, trends
