"""`emotion-worker trends`: what people feel, as a table, a chart, a PNG, JSON or CSV."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
from rich.console import Console

from worker.charts.standouts import render_events
from worker.charts.terminal import render_terminal
from worker.commands.near_misses import did_you_mean
from worker.commands.options import env_file_option
from worker.commands.tables import stdout_console
from worker.commands.trends_report import document, table
from worker.commands.trends_times import MAX_WINDOWS, When, Width, window_range
from worker.errors import WorkerError
from worker.posts.hashtags import hashtags_given
from worker.settings import load_settings
from worker.store.revision import connect_migrated
from worker.store.trend_events import read_events, read_model_runs
from worker.store.trends import read_known, read_newest, read_oldest, read_trends, read_values
from worker.trends import DIMENSIONS, Events, Trends

if TYPE_CHECKING:
    from collections.abc import Iterable

    from worker.commands.trends_times import Moment

_CANDIDATES: Final = 5_000
"""Values that a misspelt one is compared with, those with the most posts."""
_MINUTE: Final = timedelta(minutes=1)
MOST_ROWS: Final = 100_000
"""Values times windows: some kilobytes each, once they are a document."""
_NO_EVENTS: Final = Events()
_NOTHING: Final = (
    "There are no trends yet: no post was labelled so far. `emotion-worker publish` loads posts "
    "into a topic, and `emotion-worker run` labels them; `emotion-worker demo` shows it all."
)


class _Dimension(click.Choice[str]):
    """One of the dimensions; a misspelt one is told which it may be."""

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter as error:
            raise click.BadParameter(
                f"{error.message}{did_you_mean(value, DIMENSIONS)}", ctx=ctx, param=param
            ) from None


@click.command(name="trends")
@click.option(
    "--window",
    "width",
    type=Width(),
    default="1h",
    show_default=True,
    help="Width of each window: a number and m, h, d or w.",
)
@click.option(
    "--step",
    type=Width(),
    help="From one window to the next: less than the window, and it rolls. Default: the window.",
)
@click.option(
    "--by",
    "dimension",
    type=_Dimension(DIMENSIONS),
    default="all",
    show_default=True,
    help="What tells the rows apart.",
)
@click.option("--value", help="Only this value of the dimension, as `--by hashtag --value news`.")
@click.option(
    "--since",
    type=When(),
    help="From this time on (RFC 3339), or so long before the end (6h, 2d). Default: 24 windows.",
)
@click.option(
    "--until",
    type=When(),
    help="Up to this time, or so long before the newest data. Default: the newest data.",
)
@click.option(
    "--limit",
    type=click.IntRange(1, 1_000),
    default=10,
    show_default=True,
    help="How many values to show, those with the most labelled posts; and how many spikes.",
)
@click.option(
    "--spikes/--no-spikes",
    default=True,
    help="Whether to search the range for what is unusual, hour by hour.",
)
@click.option(
    "--plot",
    type=click.Path(path_type=Path, dir_okay=False, writable=True),
    help="Also draw a PNG to this file.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout, nothing else.")
@click.option("--csv", "as_csv", is_flag=True, help="The rows as CSV on stdout, nothing else.")
@env_file_option
def command(
    *,
    width: timedelta,
    step: timedelta | None,
    dimension: str,
    value: str | None,
    since: Moment | None,
    until: Moment | None,
    limit: int,
    spikes: bool,
    plot: Path | None,
    as_json: bool,
    as_csv: bool,
    env_file: Path | None,
) -> None:
    """Shows how the emotions' shares moved, and what was unusual, from the trend tables.

    Needs WORKER_DATABASE_URL. Times are UTC.
    """
    value = _checked(dimension, value)
    if as_json and as_csv:
        raise click.UsageError("--json or --csv: one of them.")
    if step is not None and step > width:
        raise click.UsageError("--step is longer than --window: posts between would show nowhere.")
    if plot is not None and plot.suffix.lower() != ".png":
        raise click.BadParameter(f"{plot} must end in .png.", param_hint="--plot")
    if plot is not None and not plot.parent.is_dir():
        raise click.BadParameter(f"there is no folder {plot.parent}.", param_hint="--plot")
    wanted = _Wanted(
        width,
        step,
        dimension,
        value,
        since,
        until,
        limit,
        spikes and (not as_csv or plot is not None),
    )
    settings = load_settings(env_file)
    found = _read(settings.database, wanted, now=datetime.now(UTC))
    quiet = as_json or as_csv
    _ready_stdout(as_csv=as_csv)
    for notice in found.notices:
        click.echo(notice, err=quiet)
    trends, events = found.trends, found.events
    if as_json:
        click.echo(
            json.dumps(
                document(trends, events, width=width, step=step, dimension=dimension),
                ensure_ascii=sys.stdout.encoding.lower() not in {"utf-8", "utf8"},
            )
        )
    elif as_csv:
        click.echo(table(trends), nl=False)
    elif trends is not None and not trends.empty:
        _show(trends, events, limit)
    if plot is not None:
        if trends is None or trends.empty:
            click.echo(f"There is nothing to draw to {plot}.", err=quiet)
        else:
            _plot(trends, events, plot, quiet=quiet)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What was asked for."""

    width: timedelta
    step: timedelta | None
    dimension: str
    value: str | None
    since: Moment | None
    until: Moment | None
    limit: int
    spikes: bool


@dataclass(frozen=True, slots=True)
class _Found:
    """What there is of it, and sentences to go with it."""

    trends: Trends | None = None
    events: Events = _NO_EVENTS
    notices: tuple[str, ...] = ()


def _ready_stdout(*, as_csv: bool) -> None:
    """A hashtag may be in any script, and a terminal of few; a file is read by machines."""
    if not isinstance(sys.stdout, TextIOWrapper):
        return
    if as_csv and not sys.stdout.isatty():
        sys.stdout.reconfigure(encoding="utf-8")
    else:
        sys.stdout.reconfigure(errors="replace")


def _checked(dimension: str, value: str | None) -> str | None:
    """The value, spelt as the worker does."""
    if value is None:
        return None
    try:
        value.encode()
    except UnicodeEncodeError:
        raise click.BadParameter("it is not valid UTF-8.", param_hint="--value") from None
    if dimension == "all":
        raise click.UsageError("--value needs --by: platform, lang, hashtag or topic.")
    if dimension != "hashtag":
        return value
    tags = hashtags_given([value])
    if not tags:
        raise click.BadParameter(f"{value!r} is no hashtag.", param_hint="--value")
    return tags[0]


def _read(url: str, wanted: _Wanted, *, now: datetime) -> _Found:
    """What the database has.

    Raises:
        DependencyError: The database cannot be reached.
        WorkerError: It has no trends to read from, or no post was ever counted for the value.
    """
    dimension, value = wanted.dimension, wanted.value
    with connect_migrated(
        url, application_name="emotion-worker trends", autocommit=True
    ) as connection:
        newest = read_newest(connection)
        if newest is None:
            return _Found(notices=(_NOTHING,))
        if value is not None and not read_known(connection, dimension=dimension, value=value):
            raise _unknown(
                dimension,
                value,
                read_values(connection, dimension=dimension, limit=_CANDIDATES),
                [
                    one
                    for one in DIMENSIONS[1:]
                    if read_known(connection, dimension=one, value=value)
                ],
            )
        oldest = read_oldest(connection) if wanted.since is None else None
        since, until = _range(wanted, oldest, newest, now)
        if since >= until:
            late = f"No posts since {_utc(since)}: the newest are of {_utc(newest)}."
            return _Found(notices=(late,))
        trends = read_trends(
            connection,
            width=wanted.width,
            step=wanted.step,
            since=since,
            until=until,
            dimension=dimension,
            values=None if value is None else (value,),
            limit=wanted.limit,
        )
        events = _NO_EVENTS
        if not trends.empty and not wanted.spikes:
            events = replace(events, runs=read_model_runs(connection, since=since, until=until))
        elif not trends.empty:
            # An hour that has hardly begun looks quiet: the last one ends with the data.
            end = min(until, min(newest, now) + _MINUTE)
            with Console(stderr=True).status("searching for spikes"):
                events = read_events(
                    connection, since=since, until=end, dimension=dimension, value=value
                )
    return _Found(trends, events, tuple(_notices(trends, wanted, newest, now)))


def _range(
    wanted: _Wanted, oldest: datetime | None, newest: datetime, now: datetime
) -> tuple[datetime, datetime]:
    try:
        since, until = window_range(
            newest,
            width=wanted.width,
            step=wanted.step,
            since=wanted.since,
            until=wanted.until,
            oldest=oldest,
            now=now,
        )
    except OverflowError:
        raise click.BadParameter(
            "that is too far back.", param_hint="--since" if wanted.since else "--until"
        ) from None
    if wanted.until is not None and since >= until:
        raise click.UsageError("--since is not before --until.")
    pace = wanted.step or wanted.width
    if until - since > MAX_WINDOWS * pace:
        raise click.UsageError(
            f"That makes {(until - since) // pace:,} windows, over {MAX_WINDOWS:,}: choose a "
            f"wider {'--window' if wanted.step is None else '--step'} or a later --since."
        )
    if wanted.value is None and wanted.limit * ((until - since) // pace) > MOST_ROWS:
        raise click.UsageError(
            f"--limit {wanted.limit} over {(until - since) // pace:,} windows is too much to hold: "
            "choose fewer values, or fewer windows."
        )
    return since, until


def _notices(trends: Trends, wanted: _Wanted, newest: datetime, now: datetime) -> Iterable[str]:
    if trends.empty:
        what = wanted.dimension if wanted.value is None else f"{wanted.dimension} {wanted.value!r}"
        of = "" if wanted.dimension == "all" else f" for {what}"
        message = (
            f"No posts{of} from {_utc(trends.since)} to {_utc(trends.until)}; --since looks "
            "further back."
        )
        if trends.pace % timedelta(hours=1):
            message += " Retention may have removed minutes that a --window of 1h still has."
        yield message
    elif wanted.until is None and trends.until <= now:
        read = trends.complete_until
        after = ""
        if read is not None and read > trends.until:
            after = f" Nothing was said from then to {_utc(read)}."
        yield f"The newest data is of {_utc(newest)}: the windows end there.{after}"


def _unknown(dimension: str, value: str, known: Iterable[str], elsewhere: list[str]) -> WorkerError:
    hint = f" Did you mean --by {elsewhere[0]}?" if elsewhere else did_you_mean(value, known)
    return WorkerError(f"--value: no post was ever counted for the {dimension} {value!r}.{hint}")


def _show(trends: Trends, events: Events, limit: int) -> None:
    console = stdout_console()
    console.print(render_terminal(trends))
    console.print(render_events(events, trends, limit=limit))


def _plot(trends: Trends, events: Events, path: Path, *, quiet: bool) -> None:
    from worker.charts.png import draw_png  # noqa: PLC0415 - matplotlib takes a second

    try:
        missing = draw_png(trends, path, events=events)
    except OSError as error:
        raise WorkerError(
            f"--plot {path}: cannot write there ({error.strerror or error}). Name another file."
        ) from None
    click.echo(f"Drawn to {path}.", err=quiet)
    if missing:
        click.echo(
            f"No font on this machine has {' '.join(sorted(missing)[:10])}: boxes stand for them. "
            "Install one for that script, as Noto Sans.",
            err=True,
        )


def _utc(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M} UTC"
