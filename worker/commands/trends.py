"""`emotion-worker trends`: what people feel, as a table, a chart, a PNG or JSON."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
from rich.console import Console

from worker import trends as model
from worker.charts.png import draw_png
from worker.charts.terminal import render_terminal
from worker.commands.options import env_file_option
from worker.errors import WorkerError
from worker.settings import load_settings
from worker.spans import format_span, parse_span
from worker.store.connection import connect
from worker.store.trends import read_newest, read_trends

if TYPE_CHECKING:
    from worker.trends import Trends

DEFAULT_WINDOWS: Final = 24
MAX_WINDOWS: Final = 2_000


class _Width(click.ParamType[timedelta]):
    """A window's width, as 15m, 1h or 7d."""

    name = "duration"

    def convert(
        self,
        value: str | timedelta,
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> timedelta:
        if isinstance(value, timedelta):
            return value
        try:
            width = parse_span(value)
            model.granularity_for(width)
        except ValueError as error:
            self.fail(f"{error}.", param, ctx)
        return width


class _Since(click.ParamType["datetime | timedelta"]):
    """A time, or a duration before the end of the data."""

    name = "time"

    def convert(
        self,
        value: str | datetime | timedelta,
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> datetime | timedelta:
        if isinstance(value, (datetime, timedelta)):
            return value
        try:
            return parse_span(value)
        except ValueError:
            pass
        try:
            time = datetime.fromisoformat(value)
        except ValueError:
            time = None
        if time is None or time.tzinfo is None:
            self.fail(
                f"{value!r} is neither a time with a zone, as 2026-03-01T12:00:00Z, nor a "
                "duration, as 6h or 2d.",
                param,
                ctx,
            )
        return time.astimezone(UTC)


@click.command(name="trends")
@click.option(
    "--window",
    "width",
    type=_Width(),
    default="1h",
    show_default=True,
    help="Width of each step: a number and m, h, d or w.",
)
@click.option(
    "--by",
    "dimension",
    type=click.Choice(model.DIMENSIONS),
    default="all",
    show_default=True,
    help="What tells the rows apart.",
)
@click.option("--value", help="Only this value of the dimension, as `--by hashtag --value news`.")
@click.option(
    "--since",
    type=_Since(),
    help="From this time on (RFC 3339), or so long before the newest data (6h, 2d). "
    f"Default: {DEFAULT_WINDOWS} windows.",
)
@click.option(
    "--limit",
    type=click.IntRange(1, 1_000),
    default=10,
    show_default=True,
    help="How many values to show, those with the most posts.",
)
@click.option(
    "--plot",
    type=click.Path(path_type=Path, dir_okay=False, writable=True),
    help="Also draw a PNG to this file.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout, nothing else.")
@env_file_option
def command(
    *,
    width: timedelta,
    dimension: str,
    value: str | None,
    since: datetime | timedelta | None,
    limit: int,
    plot: Path | None,
    as_json: bool,
    env_file: Path | None,
) -> None:
    """Shows how the emotions' shares moved, from the trend tables.

    Needs WORKER_DATABASE_URL. Times are UTC.
    """
    if value is not None and dimension == "all":
        raise click.UsageError("--value needs --by: platform, lang, hashtag or topic.")
    if plot is not None and plot.suffix.lower() != ".png":
        raise click.BadParameter(f"{plot} must end in .png.", param_hint="--plot")
    if plot is not None and not plot.parent.is_dir():
        raise click.BadParameter(f"there is no folder {plot.parent}.", param_hint="--plot")
    if value is not None and dimension == "hashtag":
        value = value.removeprefix("#").casefold()
    settings = load_settings(env_file)
    trends, notice = _read(
        settings.database,
        width=width,
        dimension=dimension,
        value=value,
        since=since,
        limit=limit,
        now=datetime.now(UTC),
    )
    if notice:
        click.echo(notice, err=as_json)
    if as_json:
        click.echo(json.dumps(_document(trends, width, dimension), ensure_ascii=False))
    if trends is None or trends.empty:
        return
    if not as_json:
        _show(trends)
    if plot is not None:
        _plot(trends, plot)
        click.echo(f"Drawn to {plot}.", err=as_json)


def _read(
    url: str,
    *,
    width: timedelta,
    dimension: str,
    value: str | None,
    since: datetime | timedelta | None,
    limit: int,
    now: datetime,
) -> tuple[Trends | None, str | None]:
    """The trends, or None where there is nothing at all, and a sentence to go with them.

    Raises:
        DependencyError: The database cannot be reached.
        WorkerError: It has no trends to read from.
    """
    with connect(url, application_name="emotion-worker trends", autocommit=True) as connection:
        newest = read_newest(connection)
        if newest is None:
            return (
                None,
                "There are no trends yet: no post was labelled so far. Is a worker running?",
            )
        try:
            since, until = window_range(newest, width=width, since=since, now=now)
        except OverflowError:
            raise click.BadParameter("that is too far back.", param_hint="--since") from None
        if since >= until:
            return None, f"No posts since {_utc(since)}: the newest are of {_utc(newest)}."
        if until - since > MAX_WINDOWS * width:
            raise click.UsageError(
                f"That makes {(until - since) // width:,} windows, over {MAX_WINDOWS:,}: choose a "
                "wider --window or a later --since."
            )
        trends = read_trends(
            connection,
            width=width,
            since=since,
            until=until,
            dimension=dimension,
            values=None if value is None else (value,),
            limit=limit,
        )
    if trends.empty:
        what = dimension if value is None else f"{dimension} {value!r}"
        of = "" if dimension == "all" else f" for {what}"
        message = f"No posts{of} from {_utc(since)} to {_utc(until)}; --since looks further back."
        if width % timedelta(hours=1):
            message += " Retention may have removed minutes that a --window of 1h still has."
        return trends, message
    if until <= now:
        return trends, f"The newest data is of {_utc(newest)}: the windows end there."
    return trends, None


def window_range(
    newest: datetime, *, width: timedelta, since: datetime | timedelta | None, now: datetime
) -> tuple[datetime, datetime]:
    """From where to where to show: aligned windows that end with the one of the newest data.

    Posts dated after `now` do not move the end.
    """
    until = model.floor(min(newest, now), width) + width
    if since is None:
        return until - DEFAULT_WINDOWS * width, until
    if isinstance(since, timedelta):
        since = until - since
    return model.floor(since, width), until


def _document(trends: Trends | None, width: timedelta, dimension: str) -> dict[str, Any]:
    """The JSON object that docs/reference/trends.md describes."""
    rows = () if trends is None or trends.empty else trends.rows()
    return {
        "window": format_span(width),
        "dimension": dimension,
        "since": None if trends is None else _iso(trends.since),
        "until": None if trends is None else _iso(trends.until),
        "rows": [
            {
                "bucket": _iso(row.bucket),
                "value": row.value,
                "emotion": row.emotion,
                "posts": row.posts,
                "total_posts": row.total_posts,
                "share": row.share,
                "mean_score": row.mean_score,
                "complete": row.complete,
            }
            for row in rows
        ],
    }


def _show(trends: Trends) -> None:
    Console().print(render_terminal(trends))


def _plot(trends: Trends, path: Path) -> None:
    try:
        draw_png(trends, path)
    except OSError as error:
        raise WorkerError(
            f"--plot {path}: cannot write there ({error.strerror or error}). Name another file."
        ) from None


def _utc(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M} UTC"


def _iso(time: datetime) -> str:
    return time.isoformat().replace("+00:00", "Z")
