"""Each query of the Grafana dashboards, as Grafana expands it, on a database with a week in it."""

from __future__ import annotations

import re
import secrets
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg.errors import UndefinedFunction

from tests.fakes import week
from tests.integration.deploy.grafana import DASHBOARDS, Query, View, expand, queries

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.integration

VARIABLES = {"dimension": "hashtag", "value": "lumivane", "emotion": "anger", "window": "1 hour"}
RANGES = {"6h": timedelta(hours=6), "24h": timedelta(days=1), "7d": timedelta(days=7)}
QUERIES = list(queries())
NUMBERS = {"int4", "int8", "numeric", "float4", "float8"}
SHOWN = NUMBERS | {"text", "bool", "timestamptz"}
"""Grafana shows others too, but an array as `{a,b}` and an interval as a raw string."""


@pytest.fixture(scope="module")
def connection(week_url: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(week_url, autocommit=True) as connection:
        # Grafana's sessions are in whatever zone the server has.
        connection.execute("SET TimeZone TO 'Asia/Kathmandu'")
        connection.execute("SET default_transaction_read_only TO on")
        yield connection


def view(length: timedelta = RANGES["24h"], **variables: str) -> View:
    # Until a moment that is no full minute, and, as with `today`, still to come.
    end = week.END + timedelta(minutes=7, seconds=31)
    return View(end - length, end, VARIABLES | variables)


def ask(
    connection: psycopg.Connection, query: Query, seen: View
) -> tuple[dict[str, str], list[dict[str, Any]]]:
    """The columns' types, and the rows."""
    cursor = connection.execute(expand(query, seen).encode())
    assert cursor.description is not None
    types = {}
    for column in cursor.description:
        known = connection.adapters.types.get(column.type_code)
        assert known is not None
        # An array has its element's name: its own OID is another.
        types[column.name] = known.name if known.oid == column.type_code else f"{known.name}[]"
    assert len(types) == len(cursor.description), "a name twice"
    return types, [dict(zip(types, row, strict=True)) for row in cursor.fetchall()]


@pytest.mark.parametrize("length", RANGES)
@pytest.mark.parametrize("query", QUERIES, ids=str)
def test_each_query_answers(connection: psycopg.Connection, query: Query, length: str) -> None:
    types, rows = ask(connection, query, view(RANGES[length]))
    assert set(types.values()) <= SHOWN
    if length != "7d" and query.where == "annotation Model changes":
        assert not rows  # the only one there is lies six days back
        return
    assert rows, "an empty panel"
    for column in types:
        assert any(row[column] is not None for row in rows), f"nothing in {column}"
    match query.format:
        case "time_series":
            _series(types, rows)
        case "annotation":
            assert types.pop("time") == "timestamptz"
            assert types.pop("timeend", "timestamptz") == "timestamptz"
            assert types == {"text": "text", "tags": "text"}
        case "variable":
            assert list(types.values()) == ["text"]
            assert "lumivane" in {row["value"] for row in rows}


def _series(types: dict[str, str], rows: list[dict[str, Any]]) -> None:
    assert next(iter(types)) == "time"
    assert types["time"] == "timestamptz"
    assert {kind for column, kind in types.items() if column != "time"} <= NUMBERS
    times = [row["time"] for row in rows]
    # Grafana joins a series in the order in which it comes, and wants one row a time.
    assert times == sorted(set(times))
    assert times[-1] <= week.END


@pytest.mark.parametrize("query", [one for one in QUERIES if one.panel], ids=str)
def test_each_override_is_of_a_column_that_there_is(
    connection: psycopg.Connection, query: Query
) -> None:
    types, _ = ask(connection, query, view())
    for override in query.panel["fieldConfig"]["overrides"]:
        assert override["matcher"]["id"] == "byName"
        name = override["matcher"]["options"]
        # The colours of the eight emotions are the same everywhere, also where fewer are shown.
        assert name in types or name in {"uncertain", "unlabelled"}


@pytest.mark.parametrize("length", RANGES)
@pytest.mark.parametrize(
    "query", [one for one in QUERIES if one.where.startswith("Shares of the emotions")], ids=str
)
def test_the_shares_of_each_step_sum_to_one(
    connection: psycopg.Connection, query: Query, length: str
) -> None:
    _, rows = ask(connection, query, view(RANGES[length]))
    for row in rows:
        shares = [share for column, share in row.items() if column != "time"]
        # Nothing was said: a gap rather than a share of nothing.
        assert shares == [None] * 7 or sum(shares) == pytest.approx(1), row["time"]


def _one(board: str, where: str) -> Query:
    (found,) = [one for one in QUERIES if (one.dashboard, one.where) == (board, where)]
    return found


def test_the_overview_tells_the_story(connection: psycopg.Connection) -> None:
    [behind] = ask(connection, _one("overview.json", "Read up to"), view())[1]
    assert behind["behind now"] == 61
    [posts] = ask(connection, _one("overview.json", "Labelled posts"), view())[1]
    [labelled] = connection.execute(
        "SELECT count(*) FROM post_emotions WHERE emotion <> 'unlabelled' AND created_at >= %s",
        # A day before, in whole minutes.
        (datetime(2026, 3, 25, 15, 27, tzinfo=UTC),),
    ).fetchall()
    assert posts["labelled posts"] == labelled[0]

    said = ask(connection, _one("overview.json", "Most said"), view())[1]
    assert said[0]["value"] == "lumivane"
    assert {row["value"]: row["mostly"] for row in said}["lumivanedown"] == "anger"

    unusual = ask(
        connection, _one("overview.json", "Unusual in the last hour of the range"), view()
    )
    assert {"lumivane", "lumivanedown"} <= {row["value"] for row in unusual[1]}
    assert all(", " in row["posts behind it"] for row in unusual[1])


def test_a_value_is_compared_with_the_whole(connection: psycopg.Connection) -> None:
    both = _one("value.json", "$emotion here and in the whole stream")
    last = ask(connection, both, view())[1][-1]
    assert last["here"] > 0.4
    everything = view(dimension="all", value="*")
    for row in ask(connection, both, everything)[1]:
        assert row["here"] == row["whole stream"]


@pytest.mark.parametrize("value", ["it's", "'; DROP TABLE posts; --", "nobody said this"])
def test_no_value_breaks_a_query(connection: psycopg.Connection, value: str) -> None:
    for query in QUERIES:
        ask(connection, query, view(value=value))


def test_an_empty_database_is_no_error(database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        for query in QUERIES:
            ask(connection, query, view())


def test_a_reader_needs_no_more_than_the_page_says(week_url: str) -> None:
    page = (DASHBOARDS.parents[2] / "docs/how-to/trends-dashboards.md").read_text("utf-8")
    found = re.search(r"need `SELECT` on (.+?);", page, re.S)
    assert found is not None
    tables = ", ".join(re.findall(r"`(\w+)`", found[1]))
    role = f"reader_{secrets.token_hex(6)}"
    with psycopg.connect(week_url, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {role}".encode())
        try:
            connection.execute(f"GRANT SELECT ON {tables} TO {role}".encode())
            connection.execute(f"GRANT USAGE ON SCHEMA docs TO {role}".encode())
            connection.execute(f"SET ROLE {role}".encode())
            for query in QUERIES:
                assert ask(connection, query, view(RANGES["7d"]))[1]
        finally:
            connection.execute("RESET ROLE")
            connection.execute(f"DROP OWNED BY {role}".encode())
            connection.execute(f"DROP ROLE {role}".encode())


def test_a_broken_query_is_noticed(connection: psycopg.Connection) -> None:
    query = Query("none", "none", "SELECT no_function_of_ours() AS x", "table")
    with pytest.raises(UndefinedFunction):
        ask(connection, query, view())
    with pytest.raises(ValueError, match="unknown macro"):
        expand(Query("none", "none", "SELECT $__timeRange(x)", "table"), view())
