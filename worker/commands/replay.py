"""`emotion-worker replay`: a stretch of the past, labelled again beside the live stream."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections import Counter
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path  # noqa: TC003 - click reads it at run time
from typing import TYPE_CHECKING, Any, Final

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from worker import logs
from worker.commands.models import classifier_of
from worker.commands.moments import Moment
from worker.commands.options import env_file_option, setting_option
from worker.commands.stopping import end_now, leave_on_signals, stop_on_signals
from worker.commands.tables import plain_table, print_table
from worker.settings import load_settings
from worker.spans import format_span

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import date

    from worker.classifier import Classifier
    from worker.replay import Request, Standing
    from worker.replay.estimate import Estimate
    from worker.settings import Settings

log = logging.getLogger(__name__)

LOG_S: Final = 10.0
"""Between two lines on how far it is, where nobody looks on."""
MOST_LIVE_LAG: Final = 10_000
_UNFINISHED: Final = 1
"""Exit code of a process that was stopped before the replay's end: whoever started it, as a Job of
Kubernetes, is to start it again."""
BEHIND: Final = 10
"""Niceness: where processor time is short, the live stream's workers have it."""


@click.command()
@click.option("--name", help="What to call it; the same name joins or goes on.")
@click.option(
    "--topic",
    "topics",
    multiple=True,
    help="What to read; may be repeated. Default: WORKER_TOPICS.",
)
@click.option(
    "--from",
    "since",
    type=Moment(),
    metavar="TIME",
    help="Records from then on, by their own timestamps. Default: from the start of the log.",
)
@click.option(
    "--to",
    "until",
    type=Moment(now=True),
    metavar="TIME|now",
    help="Records before then. Default: now, up to the end that the log has when it is begun.",
)
@click.option(
    "--from-files",
    "patterns",
    multiple=True,
    metavar="PATTERN",
    help="Read .jsonl, .jsonl.gz or .parquet files, as of the one --topic; --from and --to "
    "are then of the posts' own times.",
)
@setting_option("model", metavar="BUNDLE")
@click.option("--shadow", is_flag=True, help="Keep the labels apart, until `replays promote`.")
@click.option(
    "--rate",
    type=click.FloatRange(0, min_open=True),
    metavar="N",
    help="Label at most N posts a second, in this process.",
)
@click.option(
    "--max-live-lag",
    type=click.IntRange(0),
    default=MOST_LIVE_LAG,
    show_default=True,
    metavar="RECORDS",
    help="Wait while the live stream is behind by more.",
)
@click.option(
    "--trends-only",
    is_flag=True,
    help="Make the trends of whole days again from the labels; nothing is read or labelled.",
)
@click.option("--resume", is_flag=True, help="Let a replay that was begun read on, to --to.")
@click.option("--dry-run", is_flag=True, help="Say how much it is and how long it takes; no more.")
@setting_option("device")
@setting_option("batch_tokens", type=int)
@setting_option("batch_posts", type=int)
@setting_option("log_format", type=click.Choice(["auto", "console", "json"]))
@click.option("--verbose", is_flag=True, help="Log more.")
@env_file_option
def command(
    *,
    name: str | None,
    trends_only: bool,
    topics: tuple[str, ...],
    patterns: tuple[str, ...],
    since: datetime | None,
    until: datetime | str | None,
    shadow: bool,
    rate: float | None,
    max_live_lag: int,
    resume: bool,
    dry_run: bool,
    verbose: bool,
    env_file: Path | None,
    **flags: Any,  # noqa: ANN401
) -> None:
    """Read a stretch of the past again: for a new model, a gap, a bug.

    Labels are replaced as they are read, in a generation of their own: twice is the same as once,
    and later edits and withdrawals win. Start several of one name to share its partitions; one that
    was stopped goes on where it was. With --shadow the labels are kept apart: `replays compare`
    shows what they would change, `replays promote` puts them in place, `replays rollback` takes
    that back.
    """
    settings = load_settings(env_file, topics=",".join(topics) or None, **flags)
    shown = sys.stderr.isatty()
    logs.configure(settings.log_format, verbose=verbose)
    if shown and not verbose:
        logging.getLogger("worker").setLevel(logging.WARNING)
    if trends_only:
        if name or topics or patterns or shadow or resume or dry_run:
            raise click.UsageError("--trends-only takes no more than --from and --to.")
        _rebuild(settings, since, until if isinstance(until, datetime) else None)
        return
    if name is None:
        raise click.UsageError("Say what to call it: --name NAME. The same name joins or goes on.")
    if patterns and len(topics) != 1:
        raise click.UsageError("--from-files takes one --topic: what the posts count under.")
    if patterns and (dry_run or resume):
        raise click.UsageError("--from-files takes neither --dry-run nor --resume.")
    # Missing ones are said before the model is loaded.
    _ = settings.database, patterns or settings.kafka
    leave_on_signals(_UNFINISHED)

    from worker.replay import Request  # noqa: PLC0415 - the store and Kafka take a second
    from worker.replay.begin import check  # noqa: PLC0415
    from worker.replay.files import find_files  # noqa: PLC0415

    request = Request(
        name,
        shadow=shadow,
        topics=tuple(dict.fromkeys(topics)),
        since=since,
        until=until if isinstance(until, datetime) else None,
        resume=resume,
        files=tuple(find_files(patterns, topics[0])) if patterns else (),
    )
    check(request)
    with suppress(OSError):
        os.nice(BEHIND)
    classifier = classifier_of(settings)
    if dry_run:
        _say_estimate(_estimate(settings, classifier, request), rate)
        return
    done = _run(settings, classifier, request, rate=rate, most_live_lag=max_live_lag, shown=shown)
    end_now(0 if done else _UNFINISHED)


def _rebuild(settings: Settings, since: datetime | None, until: datetime | None) -> None:
    from worker.store.repair import CELLS_CORRECTED, rebuild  # noqa: PLC0415
    from worker.store.session import Session  # noqa: PLC0415

    def advance(after: date) -> None:
        click.echo(f"trends are made again up to {after}", err=True)

    with Session(settings.database, name="emotion-worker replay", writes=True) as session:
        done = rebuild(settings.database, session, since=since, until=until, advance=advance)
    cells = sum(counts[CELLS_CORRECTED] for counts in done.days.values())
    click.echo(f"{cells:,} trend cells were made again, on {len(done.days):,} days; the others fit")


def _run(
    settings: Settings,
    classifier: Classifier,
    request: Request,
    *,
    rate: float | None,
    most_live_lag: int,
    shown: bool,
) -> bool:
    """Whether the replay has read all that it was to read."""
    from worker.replay import FileReplaying, Replaying, begin  # noqa: PLC0415
    from worker.store.postgres import PostgresStore  # noqa: PLC0415
    from worker.store.session import Session  # noqa: PLC0415

    store = PostgresStore(settings.database, group=settings.group)
    with Session(settings.database, name="emotion-worker replay") as session:
        model_id = store.register_model(classifier.info)
        store.close()
        replay = begin(settings, session, request, model_id=model_id)
    if replay.state == "finished":
        click.echo(
            f"The replay {request.name} has read all that it was to read; --resume lets it read "
            "on, to what was written since."
        )
        return True
    replaying: FileReplaying | Replaying
    if request.files:
        replaying = FileReplaying(
            settings,
            classifier,
            replay,
            request.files,
            rate=rate,
            most_live_lag=None if settings.kafka_bootstrap_servers is None else most_live_lag,
        )
    else:
        replaying = Replaying(settings, classifier, replay, rate=rate, most_live_lag=most_live_lag)
    with _Shown(request.name) if shown else _Logged(request.name) as progress:
        standing, done = replaying.run(
            ready=lambda: stop_on_signals(replaying.stop, _UNFINISHED), report=progress.report
        )
    outcomes = Counter[str]()
    with Session(settings.database, name="emotion-worker replay") as session:
        from worker.store.offsets import read_positions  # noqa: PLC0415

        for row in session.run(lambda c: read_positions(c, replay.plan.group)):
            outcomes += Counter(row.outcomes)
    said = ", ".join(f"{count:,} {what}" for what, count in outcomes.most_common() if count)
    if done:
        click.echo(f"replay {request.name} finished: {outcomes.total():,} records" + _of(said))
        if replay.plan.kind == "shadow":
            click.echo(f"`emotion-worker replays compare {request.name}` shows what they change.")
        return True
    click.echo(
        f"replay {request.name} stopped with {standing.left:,} offsets to go: "
        f"{outcomes.total():,} records so far{_of(said)}. The same command goes on."
    )
    return False


def _of(said: str) -> str:
    return f" ({said})" if said else ""


class _Logged:
    """A line now and then, for logs."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._next = 0.0

    def __enter__(self) -> _Logged:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def report(self, standing: Standing) -> None:
        """Logs how far it is."""
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + LOG_S
        total = sum(one.end - one.start for one in standing.stretches)
        remaining = standing.remaining_s
        log.info(
            "replaying",
            extra={
                "replay": self._name,
                "share": round(1 - standing.left / total, 4) if total else 1.0,
                "left": standing.left,
                "per_s": round(standing.rate),
                "remaining_s": None if remaining is None else round(remaining),
                "waits_for_live": standing.waits,
            },
        )


class _Shown:
    """A bar for each partition, for a person."""

    def __init__(self, name: str) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[said]}"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self._all = self._progress.add_task(f"replay {name}", total=None, said="")
        self._tasks: dict[str, Any] = {}

    def __enter__(self) -> _Shown:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def report(self, standing: Standing) -> None:
        """Draws how far it is."""
        said = "waits for the live stream" if standing.waits else f"{standing.rate:,.0f}/s"
        total = sum(one.end - one.start for one in standing.stretches)
        self._progress.update(self._all, total=total, completed=total - standing.left, said=said)
        for one in standing.stretches:
            name = str(one.partition)
            if name not in self._tasks:
                self._tasks[name] = self._progress.add_task(f"  {name}", total=None, said="")
            self._progress.update(
                self._tasks[name], total=one.end - one.start, completed=one.passed
            )


def _estimate(settings: Settings, classifier: Classifier, request: Request) -> Estimate:
    from worker.replay.begin import capture  # noqa: PLC0415
    from worker.replay.estimate import estimate  # noqa: PLC0415

    found = capture(settings, request.topics or settings.topics, request.since)
    return estimate(settings, classifier, found, since=request.since, until=request.until)


def _say_estimate(found: Estimate, rate: float | None) -> None:
    table = plain_table("what would be read")
    table.add_column("partition", no_wrap=True)
    for name in ("from", "to", "offsets"):
        table.add_column(name, justify="right")
    for place, (start, end) in sorted(found.logs.items()):
        table.add_row(str(place), f"{start:,}", f"{end:,}", f"{end - start:,}")
    print_table(table)
    for line in _lines(found, rate):
        click.echo(line)


def _lines(found: Estimate, rate: float | None) -> Iterator[str]:
    yield (
        f"{found.offsets:,} offsets, of which about {found.records:,} records are of the range "
        f"({found.share:.0%} of {found.sampled:,} that were looked at)"
    )
    seconds = found.seconds(rate)
    if seconds is not None:
        assert found.posts_per_s is not None or rate is not None
        speed = "" if found.posts_per_s is None else f" at {found.posts_per_s:,.0f} posts/s"
        limit = "" if rate is None else f" (no more than {rate:g}/s)"
        yield f"about {_span(seconds)} for one process{speed}{limit}; nothing was stored"


def _span(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return format_span(timedelta(minutes=round(seconds / 60)))
