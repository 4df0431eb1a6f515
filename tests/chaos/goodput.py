"""`python -m tests.chaos.goodput`: what a rebalance costs, cooperative against eager.

A group that works through a backlog as fast as its (slow) model lets it; then one worker joins, and
later one leaves. Goodput is what was committed, by the flight recorder, not what was read.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import click
from rich import box
from rich.console import Console
from rich.table import Table

from tests.chaos import journal
from tests.chaos.ground import Ground
from tests.chaos.judgement import positions_of
from tests.chaos.plan import Plan
from tests.chaos.setting import make_feed, worker_settings
from tests.chaos.workers import Fleet, wait_until

if TYPE_CHECKING:
    import psycopg

WINDOW_S = 6.0
ASSIGNORS = ("cooperative-sticky", "range")


@dataclass(frozen=True, slots=True)
class Goodput:
    """Posts a second that were committed, and the longest that all partitions stood, in seconds.

    Attributes:
        event: What happened: nothing, a join, or a leave.
    """

    assignor: str
    event: str
    posts_per_s: float
    all_stood_s: float


def measure(assignor: str, seed: int) -> list[Goodput]:
    """Goodput in the seconds around each event.

    Raises:
        RuntimeError: The group did not begin, or was through before the end.
    """
    plan = Plan(seed, assignor=assignor, model="stub:4", backlog=30_000)
    with Ground(os.environ) as ground, tempfile.TemporaryDirectory() as folder:
        feed = make_feed(plan, ground)
        try:
            settings = worker_settings(plan, ground, feed)
            with Fleet(settings, ground.url, Path(folder)) as fleet, ground.connect() as connection:
                for _ in range(3):
                    fleet.start()
                places = set(feed.ends())
                if not wait_until(lambda: positions_of(connection).keys() >= places, 60):
                    raise RuntimeError("the group did not begin")
                time.sleep(3)  # until the last of the three has its share
                marks = [("nothing", time.time())]
                time.sleep(WINDOW_S)
                before = epochs(connection)
                fleet.start()
                # It takes its time to start; the first claim says that the rebalance is there.
                if not wait_until(lambda: epochs(connection) != before, 60):
                    raise RuntimeError("the fourth worker got no partition")
                marks.append(("join", time.time() - WINDOW_S / 2))
                time.sleep(WINDOW_S)
                worker = fleet.take(Random(seed))
                assert worker is not None
                marks.append(("leave", time.time()))
                fleet.leave(worker)
                time.sleep(WINDOW_S)
                positions = positions_of(connection)
                if all(positions[place] >= end for place, end in feed.ends().items()):
                    raise RuntimeError("the backlog was too short")
                commits = journal.read(connection)
        finally:
            feed.close()
    everywhere = [journal.Commit(c.at, ("", 0), None, None, c.records) for c in commits]
    return [
        Goodput(
            assignor,
            event,
            round(journal.rate(commits, at, at + WINDOW_S), 1),
            round(journal.longest_gap(everywhere, at, at + WINDOW_S), 2),
        )
        for event, at in marks
    ]


def epochs(connection: psycopg.Connection) -> int:
    """Goes up with each claim."""
    row = connection.execute("SELECT sum(owner_epoch)::bigint FROM stream_offsets").fetchone()
    assert row is not None
    return int(row[0])


@click.command()
@click.option("--seed", default=1, show_default=True)
@click.option("--json", "report", type=click.Path(path_type=Path), help="Write the figures here.")
def main(seed: int, report: Path | None) -> None:
    """Measure goodput around a join and a leave, for both rebalance protocols."""
    figures = [figure for assignor in ASSIGNORS for figure in measure(assignor, seed)]
    table = Table(
        title=f"Goodput in the {WINDOW_S:.0f} s around", title_justify="left", box=box.SIMPLE_HEAD
    )
    for name in ("assignor", "event"):
        table.add_column(name)
    for name in ("posts/s", "all partitions stood"):
        table.add_column(name, justify="right")
    for figure in figures:
        table.add_row(
            figure.assignor,
            figure.event,
            f"{figure.posts_per_s:.0f}",
            f"{figure.all_stood_s:.1f} s",
        )
    console = Console()
    if not console.is_terminal:
        console.width = 100
    console.print(table)
    if report is not None:
        report.write_text(json.dumps([asdict(figure) for figure in figures], indent=2) + "\n")


if __name__ == "__main__":
    main()
