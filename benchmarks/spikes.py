"""How well `emotion_spikes` finds planted rises, and how often it cries wolf.

    python -m benchmarks.spikes [--seeds 101 102 103] [--values N] [--days N] [--history N]

Streams are generated straight into `trend_cells`: values with a daily and a weekly rhythm, a slow
trend, and counts that vary more than chance alone would have them. Some hours of some emotions are
made three times as large. Every full hour of the last days is asked about.
"""

from __future__ import annotations

import argparse
import math
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import TYPE_CHECKING, Final

import psycopg
from rich.console import Console
from rich.table import Table

from worker.local.postgres import EmbeddedPostgres
from worker.posts import LABELS
from worker.store import migrate

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

START: Final = datetime(2026, 3, 2, tzinfo=UTC)
RISE: Final = 3
PLANTED_FROM: Final = 100
"""Posts of an emotion in the hour once it has risen."""
QUIET: Final = 26
"""Hours between two planted rises of one emotion of one value."""

Hour = tuple[str, str, int]
"""Value, emotion, hours since the start."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What an hour of a value is expected to hold.

    Attributes:
        volume: Posts an hour, on average.
        shares: Of the six emotions; what is left is uncertain.
        amplitude, peak: Of the daily rhythm: 0 is flat, 1 is nobody at night; hour of the most.
        second: Of a second, half as long wave: mornings and evenings.
        weekend: Volume on Saturday, on Sunday, over that of other days.
        growth: A day's volume over that of the day before.
        spread: Relative standard deviation of an hour's volume beyond chance.
    """

    volume: float
    shares: tuple[float, ...]
    amplitude: float
    peak: float
    second: float
    weekend: tuple[float, float]
    growth: float
    spread: float

    def expected(self, hour: int) -> float:
        """Posts in that hour since the start."""
        time = START + timedelta(hours=hour)
        turn = 2 * math.pi * (time.hour - self.peak) / 24
        rhythm = 1 + self.amplitude * math.cos(turn) + self.second * math.cos(2 * turn)
        week = self.weekend[time.weekday() - 5] if time.weekday() > 4 else 1.0
        growth = self.growth ** (hour / 24)
        return float(self.volume * max(0.02, rhythm) * week * growth)


@dataclass(slots=True)
class Generated:
    """A stream of cells.

    Attributes:
        cells: Value, hour since the start, counts of the six and uncertain.
        planted: The hours that were made larger.
    """

    hours: int
    cells: list[tuple[str, int, list[int]]] = field(default_factory=list)
    planted: set[Hour] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Found:
    """What the function made of a stream.

    Attributes:
        planted: Rises there were.
        found: Of these, those it returned for their hour.
        false_alarms: Rows for anything else, and how many days were looked at.
        milliseconds: Of one call, on average.
    """

    planted: int
    found: int
    false_alarms: int
    days: float
    milliseconds: float

    @property
    def recall(self) -> float:
        """Of the planted rises, the part found."""
        return self.found / self.planted

    @property
    def a_day(self) -> float:
        """False alarms a day."""
        return self.false_alarms / self.days


def shape(rng: Random) -> Shape:
    """A value as streams have them: most are small, some have hardly any rhythm."""
    weights = [rng.gammavariate(1.5, 1) * typical for typical in (15, 35, 8, 25, 8, 6)]
    labelled = rng.uniform(0.8, 0.95) / sum(weights)
    weekend = rng.uniform(0.5, 1.3)
    return Shape(
        volume=math.exp(rng.uniform(math.log(60), math.log(3_000))),
        shares=tuple(weight * labelled for weight in weights),
        amplitude=rng.uniform(0.2, 0.8),
        peak=rng.uniform(0, 24),
        second=rng.uniform(0, 0.2),
        weekend=(weekend, weekend * rng.uniform(0.85, 1.15)),
        growth=rng.uniform(0.99, 1.01),
        spread=rng.uniform(0, 0.15),
    )


def poisson(rng: Random, mean: float) -> int:
    """A Poisson number; by a normal one where nobody can tell the difference."""
    if mean > 200:
        return max(0, round(rng.gauss(mean, math.sqrt(mean))))
    # Inversion, from zero up.
    term = total = math.exp(-mean)
    number, drawn = 0, rng.random()
    while drawn > total and number < 1_000:
        number += 1
        term *= mean / number
        total += term
    return number


def generate(seed: int, *, values: int, history: int, days: int, rises: float = 0.5) -> Generated:
    """A stream of `history` days, then `days` days with `rises` planted rises a day and value."""
    rng = Random(seed)
    stream = Generated(24 * (history + days))
    for number in range(values):
        name, form = f"value{number}", shape(rng)
        last = dict.fromkeys(LABELS, -QUIET)
        for hour in range(stream.hours):
            mean = form.expected(hour)
            if form.spread:
                mean *= rng.gammavariate(form.spread**-2, form.spread**2)
            counts = [poisson(rng, mean * share) for share in form.shares]
            if hour >= 24 * history and rng.random() < rises / 24:
                place = rng.randrange(len(LABELS))
                usual = form.expected(hour) * form.shares[place]
                if RISE * usual >= PLANTED_FROM and hour - last[LABELS[place]] >= QUIET:
                    counts[place] = poisson(rng, RISE * mean * form.shares[place])
                    stream.planted.add((name, LABELS[place], hour))
                    last[LABELS[place]] = hour
            uncertain = poisson(rng, mean * (1 - sum(form.shares)))
            stream.cells.append((name, hour, [*counts, uncertain]))
    return stream


def load(connection: psycopg.Connection, stream: Generated, minutes_from: int) -> None:
    """Writes the hour cells and, from that hour on, minute cells: a quarter of an hour each.

    The stream as a whole is in them as well, as `all`: a silent value is no stopped stream.
    """
    with connection.cursor() as cursor, cursor.copy("COPY trend_cells FROM STDIN") as copy:
        for row in _rows(stream, minutes_from):
            copy.write_row(row)
    connection.execute("ANALYZE trend_cells")


def _rows(stream: Generated, minutes_from: int) -> Iterator[tuple[object, ...]]:
    none = (0,) * 7  # unlabelled, score sums
    whole = [[0] * 7 for _ in range(stream.hours)]
    for name, hour, counts in stream.cells:
        start = START + timedelta(hours=hour)
        yield ("1h", "hashtag", name, start, 0, *counts, *none)
        if hour >= minutes_from:
            for quarter in range(4):
                part = [(count + quarter) // 4 for count in counts]
                bucket = start + timedelta(minutes=15 * quarter + 7)
                yield ("1m", "hashtag", name, bucket, quarter, *part, *none)
        whole[hour] = [a + b for a, b in zip(whole[hour], counts, strict=True)]
    for hour, counts in enumerate(whole):
        yield ("1h", "all", "*", START + timedelta(hours=hour), 0, *counts, *none)


def evaluate(connection: psycopg.Connection, stream: Generated, first: int) -> Found:
    """Asks about every full hour from the `first` on.

    The hour before a rise and the day after it are the same stream's as any other: they count.
    """
    seen: set[Hour] = set()
    began = time.monotonic()
    for hour in range(first, stream.hours):
        rows = connection.execute(
            "SELECT value, emotion FROM emotion_spikes(%s) WHERE dimension = 'hashtag'",
            (START + timedelta(hours=hour + 1),),
        ).fetchall()
        seen |= {(value, emotion, hour) for value, emotion in rows}
    took = time.monotonic() - began
    hours = stream.hours - first
    planted = {rise for rise in stream.planted if rise[2] >= first}
    return Found(
        len(planted), len(seen & planted), len(seen - planted), hours / 24, took / hours * 1_000
    )


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--seeds", type=int, nargs="+", default=[101, 102, 103])
    parser.add_argument("--values", type=int, default=200)
    parser.add_argument("--days", type=int, default=14, help="days that are asked about, hourly")
    parser.add_argument("--history", type=int, default=28, help="days before them")
    options = parser.parse_args(arguments)
    table = Table("seed", "rises", "recall", "false alarms a day", "ms a call")
    with EmbeddedPostgres(durable=False) as server:
        migrate.upgrade(server.url)
        with psycopg.connect(server.url, autocommit=True) as connection:
            for seed in options.seeds:
                stream = generate(
                    seed, values=options.values, history=options.history, days=options.days
                )
                first = 24 * options.history
                connection.execute("TRUNCATE trend_cells")
                load(connection, stream, first)
                found = evaluate(connection, stream, first)
                table.add_row(
                    str(seed),
                    str(found.planted),
                    f"{found.recall:.3f}",
                    f"{found.a_day:.2f}",
                    f"{found.milliseconds:.0f}",
                )
    Console().print(table)


if __name__ == "__main__":
    main()
