"""`emotion-worker publish`: files of posts into a topic."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from worker.commands.options import env_file_option, setting_option
from worker.errors import SettingsError, WorkerError
from worker.posts.encode import PostEncoder
from worker.posts.files import STDIN, RowError, open_rows
from worker.settings import load_settings
from worker.source.admin import ensure_topic
from worker.source.producer import Producer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from worker.posts.files import Row
    from worker.settings import Settings

_PROGRESS_SECONDS: Final = 0.1
_EXAMPLE: Final = """\b
Example:
  emotion-worker publish tweets.csv --topic posts --map id=tweet_id --map platform=airline \\
      --map created_at=tweet_created --map author_id=author
"""


def _pairs(
    context: click.Context, parameter: click.Parameter, values: Sequence[str]
) -> dict[str, str]:
    """Reads `field=value` options.

    Raises:
        click.BadParameter: One has another form, or a field comes twice.
    """
    pairs: dict[str, str] = {}
    for value in values:
        name, equals, rest = value.partition("=")
        if not name or not equals or not rest:
            raise click.BadParameter(f"`{value}` is not {parameter.metavar}.", context, parameter)
        if name in pairs:
            raise click.BadParameter(f"`{name}` is given twice.", context, parameter)
        pairs[name] = rest
    return pairs


def _zone(context: click.Context, parameter: click.Parameter, value: str | None) -> ZoneInfo | None:
    try:
        return None if value is None else ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise click.BadParameter(
            f"`{value}` is no time zone that this machine knows, as UTC or Europe/Paris.",
            context,
            parameter,
        ) from None


@click.command("publish", epilog=_EXAMPLE)
@click.argument(
    "files",
    nargs=-1,
    required=True,
    metavar="FILE...",
    type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path),
)
@click.option("--topic", required=True, help="The topic to load them into.")
@click.option("--rate", type=click.FloatRange(min=0, min_open=True), help="Posts per second.")
@click.option(
    "--map",
    "columns",
    multiple=True,
    metavar="FIELD=COLUMN",
    callback=_pairs,
    help="Take a post's field from this column (CSV) or key (JSON). May be repeated.",
)
@click.option(
    "--set",
    "constants",
    multiple=True,
    metavar="FIELD=VALUE",
    callback=_pairs,
    help="Give every post this value, as --set lang=en. May be repeated.",
)
@click.option(
    "--timezone", "zone", metavar="ZONE", callback=_zone, help="Assume it for times without a zone."
)
@click.option(
    "--partitions",
    type=click.IntRange(1, 10_000),
    default=6,
    show_default=True,
    help="A topic that does not exist yet is made with so many partitions.",
)
@click.option("--skip-bad", is_flag=True, help="Leave out rows that are no posts, and count them.")
@setting_option("kafka_bootstrap_servers", metavar="HOST:PORT,...")
@env_file_option
def command(
    *,
    files: tuple[Path, ...],
    topic: str,
    rate: float | None,
    columns: dict[str, str],
    constants: dict[str, str],
    zone: ZoneInfo | None,
    partitions: int,
    skip_bad: bool,
    kafka_bootstrap_servers: str | None,
    env_file: Path | None,
) -> None:
    """Load posts from JSON lines (.jsonl, .ndjson) or CSV files, .gz or not, into a topic.

    `-` reads JSON lines from standard input. Records are keyed by platform:id. The fields of a
    post are id, text, created_at (required), platform (default: the topic), lang, author_id,
    hashtags, edited_at and deleted; each comes from the column of its name, or the one that --map
    names. Other columns are left out, but a JSON line that is a post already is sent as it is.

    Times with an offset are understood in many forms, numbers as epoch seconds or milliseconds.
    The hashtags of a CSV are split at commas and spaces; numeric ids become strings.

    Each row is checked as the worker will. The first bad one ends the command with its file and
    line, exit code 1; rows before it have been sent. --skip-bad goes on instead.
    """
    settings = load_settings(env_file, kafka_bootstrap_servers=kafka_bootstrap_servers)
    encoder = PostEncoder(topic, columns=columns, constants=constants, zone=zone)
    for path in files:
        if str(path) != STDIN:
            with open_rows(path) as opened:
                if opened.columns is not None:
                    encoder.check_columns(path, opened.columns)
    if ensure_topic(settings, topic, partitions):
        click.echo(f"made the topic {topic} with {partitions} partitions", err=True)
    outcome = _publish(files, topic, encoder, settings, rate=rate, skip_bad=skip_bad)
    if outcome.bad:
        click.echo(f"left out {outcome.bad} bad rows; the first: {outcome.first_bad}", err=True)
    speed = round(outcome.sent / outcome.seconds) if outcome.seconds else 0
    click.echo(f"published {outcome.sent} posts to {topic} in {outcome.seconds:.1f} s ({speed}/s)")


@dataclass(slots=True)
class _Outcome:
    sent: int = 0
    bad: int = 0
    first_bad: str = ""
    seconds: float = 0.0
    began: float = field(default_factory=time.monotonic)


def _publish(
    files: Sequence[Path],
    topic: str,
    encoder: PostEncoder,
    settings: Settings,
    *,
    rate: float | None,
    skip_bad: bool,
) -> _Outcome:
    """Sends every row, at most `rate` a second.

    Raises:
        WorkerError: A row is bad, unless `skip_bad`; the message says how many were sent before.
        DependencyError: The broker could not be reached, or did not take a record.
    """
    with Producer(settings) as producer, _progress(files) as advance:
        outcome = _Outcome()
        try:
            for path in files:
                with open_rows(path) as opened:
                    for row in opened.rows:
                        advance(path, opened.position, outcome)
                        record = _encoded(row, encoder, outcome, skip_bad=skip_bad)
                        if record is not None:
                            _wait_for_turn(outcome, rate)
                            producer.send(topic, *record)
                            outcome.sent += 1
            producer.flush()
        except (RowError, SettingsError) as error:
            producer.flush()
            raise type(error)(f"{error}\n{_taken(producer, topic)}") from error
        except WorkerError as error:
            raise type(error)(f"{error}\n{_taken(producer, topic)}") from error
        outcome.seconds = time.monotonic() - outcome.began
    return outcome


def _encoded(
    row: Row | RowError, encoder: PostEncoder, outcome: _Outcome, *, skip_bad: bool
) -> tuple[bytes, bytes] | None:
    """Key and value of a row; None if it is bad, and bad ones are to be left out."""
    try:
        if isinstance(row, RowError):
            raise row
        return encoder.encode(row)
    except (RowError, SettingsError) as error:
        if not skip_bad:
            raise
        outcome.bad += 1
        outcome.first_bad = outcome.first_bad or str(error)
        return None


def _taken(producer: Producer, topic: str) -> str:
    return f"Before that, {producer.delivered} posts were published to {topic}."


def _wait_for_turn(outcome: _Outcome, rate: float | None) -> None:
    if rate is not None:
        ahead = outcome.began + outcome.sent / rate - time.monotonic()
        if ahead > 0:
            time.sleep(ahead)


@contextmanager
def _progress(
    files: Sequence[Path],
) -> Iterator[Callable[[Path, Callable[[], int], _Outcome], None]]:
    """A progress bar on stderr by bytes read; none if that is not a terminal."""
    console = Console(stderr=True)
    total = sum(path.stat().st_size for path in files if str(path) != STDIN)
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[sent]:,} posts, {task.fields[speed]:,}/s"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as progress:
        task = progress.add_task("", total=total or None, sent=0, speed=0)
        done: dict[Path, int] = {}
        due = 0.0

        def advance(path: Path, position: Callable[[], int], outcome: _Outcome) -> None:
            nonlocal due
            now = time.monotonic()
            if now < due:
                return
            due = now + _PROGRESS_SECONDS
            done[path] = position()
            seconds = now - outcome.began
            progress.update(
                task,
                completed=sum(done.values()),
                description=path.name,
                sent=outcome.sent,
                speed=round(outcome.sent / seconds) if seconds else 0,
            )

        yield advance
