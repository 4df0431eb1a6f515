"""`emotion-worker replays list` and `show`: what each reads, and how far it is."""

from __future__ import annotations

import json
import time
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path  # noqa: TC003 - click reads it at run time
from typing import TYPE_CHECKING, Any, Final

import click

from worker.commands.near_misses import did_you_mean
from worker.commands.options import env_file_option
from worker.commands.tables import plain_table, print_table
from worker.commands.trends_report import iso
from worker.errors import WorkerError
from worker.settings import load_settings
from worker.spans import format_age
from worker.store.comparison import labels_beside
from worker.store.offsets import read_positions
from worker.store.replays import LIVE_S, read_replays, read_stretches
from worker.store.session import Session

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rich.table import Table

    from worker.posts.place import Partition
    from worker.store.interface import Position
    from worker.store.replays import Plan, Replay, State, Stretch

LOOK_S: Final = 2.0
"""Between the two looks that a rate is taken from: some batches long."""
_MEANS: Final = {
    "replay --name": "lets it read on (with the --model that it has)",
    "replays compare": "shows what its labels change",
    "replays promote": "puts its labels in place of the live ones",
    "replays rollback": "takes its promotion back",
    "replays discard": "drops what it keeps beside the live labels, and ends it",
}
_OF_A_SHADOW: Final[Mapping[State, tuple[str, ...]]] = {
    "running": ("replay --name", "replays compare", "replays discard"),
    "finished": ("replays compare", "replays promote", "replays discard"),
    "promoting": ("replays promote", "replays compare", "replays rollback"),
    "promoted": ("replays compare", "replays rollback", "replays discard"),
    "rolling_back": ("replays rollback",),
    "discarding": ("replays discard",),
}
_IN_PLACE: Final[Mapping[State, tuple[str, ...]]] = {
    "running": ("replay --name", "replays discard"),
    "discarding": ("replays discard",),
}


@dataclass(frozen=True, slots=True)
class _Standing:
    """A replay as it was found.

    Attributes:
        replay: Its row.
        stretches: What it reads.
        positions: Of its group, with what became of the records.
        rates: Offsets a second, where it reads.
        beside: How many labels of its own it keeps, and how many for its rollback.
    """

    replay: Replay
    stretches: list[Stretch]
    positions: list[Position]
    rates: Mapping[Partition, float]
    beside: tuple[int, int]

    @property
    def outcomes(self) -> dict[str, int]:
        """What became of its records so far."""
        total = Counter[str]()
        for position in self.positions:
            total.update(position.outcomes)
        return dict(total)

    @property
    def left(self) -> int:
        """Offsets to go."""
        return sum(one.left for one in self.stretches)

    @property
    def next(self) -> list[str]:
        """What can be done with it, as command lines."""
        plan = self.replay.plan
        verbs = _OF_A_SHADOW if plan.kind == "shadow" else _IN_PLACE
        return [f"{verb} {plan.name}" for verb in verbs.get(self.replay.state, ())]

    def read_by(self, stretch: Stretch) -> tuple[str, datetime] | None:
        """Who read it last, and when."""
        for position in self.positions:
            if position.partition == stretch.partition and position.owner_id is not None:
                return position.owner_id, position.updated_at
        return None


@click.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON array instead of a table.")
@env_file_option
def list_(*, as_json: bool = False, env_file: Path | None = None) -> None:
    """List all replays, the newest first."""
    with session_of(env_file) as session:
        found = session.run(read_replays)
    if as_json:
        click.echo(json.dumps([_row(one) for one in found]))
        return
    if not found:
        click.echo("There are no replays. `emotion-worker replay --name NAME` begins one.")
        return
    print_table(_list(found))
    click.echo("emotion-worker replays show NAME    says how far one is, and what can be done next")


@click.command()
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of tables.")
@env_file_option
def show(*, name: str, as_json: bool, env_file: Path | None) -> None:
    """Show what a replay reads, how far it is, and what can be done next.

    Of one that is running, two looks say how fast it is.
    """
    with session_of(env_file) as session:
        standing = _look(session, find(session, name))
    if as_json:
        click.echo(json.dumps(_object(standing)))
        return
    for what, said in _facts(standing):
        click.echo(f"{what:<10} {said}")
    print_table(_partitions(standing))
    for line in standing.next:
        click.echo(f"emotion-worker {line}    {_MEANS[line.rpartition(' ')[0]]}")


def session_of(env_file: Path | None, *, writes: bool = False) -> Session:
    """With the database of the settings."""
    url = load_settings(env_file).database
    return Session(url, name="emotion-worker replays", writes=writes)


def find(session: Session, name: str) -> Replay:
    """The replay of that name.

    Raises:
        WorkerError: There is none; those whose names are alike are named.
    """
    found = session.run(read_replays)
    for one in found:
        if one.plan.name == name:
            return one
    alike = did_you_mean(name, [one.plan.name for one in found])
    raise WorkerError(
        f"There is no replay {name}.{alike or ' `emotion-worker replays` lists them.'}"
    )


def _look(session: Session, replay: Replay) -> _Standing:
    name, group = replay.plan.name, replay.plan.group
    stretches = session.run(lambda c: read_stretches(c, name))
    rates: dict[Partition, float] = {}
    if replay.state == "running" and any(one.left for one in stretches):
        began, before = time.monotonic(), {one.partition: one.passed for one in stretches}
        time.sleep(LOOK_S)
        stretches = session.run(lambda c: read_stretches(c, name))
        replay = find(session, name)
        seconds = time.monotonic() - began
        rates = {
            one.partition: max(0.0, (one.passed - before.get(one.partition, 0)) / seconds)
            for one in stretches
        }
    return _Standing(
        replay,
        stretches,
        session.run(lambda c: read_positions(c, group)),
        rates,
        session.run(lambda c: labels_beside(c, replay)),
    )


def _row(replay: Replay) -> dict[str, Any]:
    plan = replay.plan
    return {
        "name": plan.name,
        "kind": plan.kind,
        "state": replay.state,
        "generation": replay.generation,
        "model": replay.model,
        "model_id": plan.model_id,
        "group": plan.group,
        "topics": list(plan.topics),
        "files": plan.files,
        "from": None if plan.since is None else iso(plan.since),
        "to": None if plan.until is None else iso(plan.until),
        "progress": replay.progress,
        "promoted": replay.promoted,
        "superseded": replay.superseded,
        "restored": replay.restored,
        "created_at": iso(replay.created_at),
        "updated_at": iso(replay.updated_at),
        "finished_at": None if replay.finished_at is None else iso(replay.finished_at),
    }


def _object(standing: _Standing) -> dict[str, Any]:
    partitions = []
    for one in standing.stretches:
        reader = standing.read_by(one)
        partitions.append(
            {
                "topic": one.partition.topic,
                "topic_id": str(one.partition.topic_id),
                "partition": one.partition.number,
                "start_offset": one.start,
                "end_offset": one.end,
                "next_offset": one.position,
                "left": one.left,
                "consumed": one.consumed,
                "per_s": standing.rates.get(one.partition),
                "owner_id": None if reader is None else reader[0],
                "read_at": None if reader is None else iso(reader[1]),
            }
        )
    shadow, kept = standing.beside
    return {
        **_row(standing.replay),
        "partitions": partitions,
        "outcomes": standing.outcomes,
        "shadow_labels": shadow,
        "kept_labels": kept,
        "next": [f"emotion-worker {line}" for line in standing.next],
    }


def _list(found: list[Replay]) -> Table:
    table = plain_table()
    table.add_column("name", no_wrap=True)
    for name in ("kind", "state", "model", "topics", "range (UTC)"):
        table.add_column(name)
    table.add_column("read", justify="right")
    table.add_column("begun")
    now = datetime.now(UTC)
    for one in found:
        plan = one.plan
        table.add_row(
            plan.name,
            _words(plan.kind),
            _words(one.state),
            one.model,
            _sources(plan),
            _range(plan),
            _percent(one.progress),
            format_age(now - one.created_at),
        )
    return table


def _facts(standing: _Standing) -> Iterator[tuple[str, str]]:
    replay = standing.replay
    plan = replay.plan
    now = datetime.now(UTC)
    yield "replay", f"{plan.name} ({_words(plan.kind)}, {_words(replay.state)})"
    yield "model", replay.model
    yield "reads", f"{_sources(plan)}: {_range(plan)}, as the group {plan.group}"
    yield "begun", format_age(now - replay.created_at)
    if replay.generation is not None:
        yield "generation", str(replay.generation)
    if replay.state == "running":
        rate = sum(standing.rates.values())
        speed = f" at {rate:,.0f}/s, about {_span(standing.left / rate)} more" if rate else ""
        last = max((one.updated_at for one in standing.positions), default=replay.created_at)
        if (now - last).total_seconds() > LIVE_S:
            speed = f"; nothing was read for {_span((now - last).total_seconds())}: is it started?"
        yield "read", f"{_percent(replay.progress)}, {standing.left:,} offsets to go{speed}"
    elif replay.finished_at is not None:
        yield "read", f"all, {format_age(now - replay.finished_at)}"
    outcomes = Counter(standing.outcomes)
    became = ", ".join(f"{count:,} {what}" for what, count in outcomes.most_common() if count)
    yield "records", f"{outcomes.total():,}" + (f": {became}" if became else "")
    shadow, kept = standing.beside
    if shadow or kept:
        own = [f"{shadow:,} labels of its own"] if shadow else []
        before = [f"{kept:,} of before, for a rollback"] if kept else []
        yield "keeps", ", ".join(own + before)
    if replay.promoted or replay.superseded:
        restored = f", {replay.restored:,} taken back" if replay.restored else ""
        yield (
            "promotion",
            f"{replay.promoted:,} put in place, {replay.superseded:,} passed over{restored}",
        )


def _partitions(standing: _Standing) -> Table:
    table = plain_table()
    table.add_column("partition", no_wrap=True)
    for name in ("from", "to", "left", "read", "records", "per s"):
        table.add_column(name, justify="right")
    table.add_column("read by")
    now = datetime.now(UTC)
    for one in standing.stretches:
        rate = standing.rates.get(one.partition)
        reader = standing.read_by(one)
        who = "nobody yet" if reader is None else f"{reader[0]} ({format_age(now - reader[1])})"
        table.add_row(
            str(one.partition),
            f"{one.start:,}",
            f"{one.end:,}",
            f"{one.left:,}",
            _percent(one.passed / (one.end - one.start) if one.end > one.start else 1.0),
            f"{one.consumed:,}",
            f"{rate:,.0f}" if rate else "-",
            who,
        )
    return table


def _sources(plan: Plan) -> str:
    return ("files, as of " if plan.files else "") + ", ".join(plan.topics)


def _range(plan: Plan) -> str:
    since = "the start" if plan.since is None else f"{plan.since:%Y-%m-%d %H:%M}"
    until = "the end" if plan.until is None else f"{plan.until:%Y-%m-%d %H:%M}"
    return f"{since} to {until}"


def _words(name: str) -> str:
    return name.replace("_", " ")


def _percent(share: float) -> str:
    """Whole, and 100 only where nothing is left."""
    return "100%" if share >= 1 else f"{min(0.99, share):.0%}"


def _span(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:,.0f} min"
