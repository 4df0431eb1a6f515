"""`emotion-worker replays`: what there is of them, and what is to become of their labels."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from pathlib import Path  # noqa: TC003 - click reads it at run time
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from worker.commands import replays_compare, replays_show
from worker.commands.options import env_file_option
from worker.commands.replays_show import find, session_of
from worker.store import promotion
from worker.store.comparison import labels_beside
from worker.store.replays import read_replays

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from worker.store.replays import Replay
    from worker.store.session import Session

_name_argument = click.argument("name")


@click.group(invoke_without_command=True)
@click.pass_context
def command(ctx: click.Context) -> None:
    """Show the replays; compare, promote, roll back or discard what a shadow has labelled."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(replays_show.list_)


command.add_command(replays_show.list_)
command.add_command(replays_show.show)
command.add_command(replays_compare.command)


def _yes_option(function: Callable[..., Any]) -> Callable[..., Any]:
    return click.option(
        "--yes", is_flag=True, help="Don't ask; nobody is asked where stdin is no terminal."
    )(function)


@command.command()
@_name_argument
@_yes_option
@env_file_option
def promote(*, name: str, yes: bool, env_file: Path | None) -> None:
    """Put a finished shadow's labels in place of the live ones, beside running workers.

    Only where the version of the post that it labelled still stands; posts that the live stream
    never saw are added. What stood before is kept for `replays rollback`, until the next promotion.
    Stopped half-way, the trends are exact; the same command goes on.
    """
    with session_of(env_file, writes=True) as session:
        replay = find(session, name)
        older = [
            one.plan.name
            for one in session.run(read_replays)
            if one.state == "promoted" and one.plan.name != name
        ]
        if older and replay.state == "finished":
            _confirm(f"{', '.join(older)} can then no longer be rolled back.", yes=yes)
        with _progress(session, replay, "promoting", shadow=True) as advance:
            done = promotion.promote(session, name, advance)
    click.echo(
        f"replay {name} promoted: {done.promoted:,} labels put in place, {done.superseded:,} "
        "passed over (another version of the post stands, or none)"
    )
    click.echo(f"`emotion-worker replays rollback {name}` takes it back, until the next promotion.")


@command.command()
@_name_argument
@env_file_option
def rollback(*, name: str, env_file: Path | None) -> None:
    """Take the newest promotion back, as if it had never been, beside running workers.

    Posts that were edited, withdrawn or replayed since stay as they are. Stopped half-way, the
    trends are exact; the same command goes on.
    """
    with session_of(env_file, writes=True) as session:
        replay = find(session, name)
        with _progress(session, replay, "rolling back", kept=True) as advance:
            done = promotion.rollback(session, name, advance)
    since = done.promoted - done.restored
    changed = f"; {since:,} had changed since, and stay" if since else ""
    click.echo(f"replay {name} rolled back: {done.restored:,} labels taken back{changed}")


@command.command()
@_name_argument
@_yes_option
@env_file_option
def discard(*, name: str, yes: bool, env_file: Path | None) -> None:
    """Drop what a replay keeps beside the live labels, and end it if it still reads.

    Of a shadow that is its own labels, of a promoted one those of before, for its rollback. Live
    labels and trends stay as they are.
    """
    with session_of(env_file, writes=True) as session:
        replay = find(session, name)
        _confirm(_loss(session, replay), yes=yes)
        dropped = 0
        with _progress(session, replay, "discarding", shadow=True, kept=True) as advance:

            def count(labels: int) -> None:
                nonlocal dropped
                dropped += labels
                advance(labels)

            promotion.discard(session, name, count)
    click.echo(
        f"replay {name} discarded: {dropped:,} labels dropped beside the live ones, which stay as "
        "they are"
    )


def _loss(session: Session, replay: Replay) -> str:
    """What a discard would lose; empty if nothing."""
    shadow, kept = session.run(lambda c: labels_beside(c, replay))
    lost = []
    if replay.state == "running":
        lost.append(f"It has not read all yet ({replay.progress:.0%}), and reads nothing more.")
    if shadow:
        lost.append(f"Its {shadow:,} labels are dropped: only another replay makes them again.")
    if kept:
        lost.append(f"The {kept:,} labels of before are dropped: it cannot be rolled back.")
    return " ".join(lost)


def _confirm(loss: str, *, yes: bool) -> None:
    if loss and not yes and sys.stdin.isatty():
        click.confirm(f"{loss} Go on?", abort=True, err=True)


@contextmanager
def _progress(
    session: Session, replay: Replay, what: str, *, shadow: bool = False, kept: bool = False
) -> Iterator[Callable[[int], None]]:
    """Something to call with how many labels were done, which shows on a terminal."""
    beside = session.run(lambda c: labels_beside(c, replay))
    total = sum(n for n, counts in zip(beside, (shadow, kept), strict=True) if counts)
    try:
        with Progress(
            TextColumn(what),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
            disable=not sys.stderr.isatty(),
        ) as progress:
            task = progress.add_task("", total=total)
            yield lambda labels: progress.advance(task, labels)
    except KeyboardInterrupt:
        click.echo(f"Stopped while {what}; the same command goes on.", err=True)
        raise
