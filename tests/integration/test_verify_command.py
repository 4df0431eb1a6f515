"""`emotion-worker verify`, with and without `--repair`: words, JSON, exit codes."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from click.testing import CliRunner, Result

from worker.cli import app
from worker.store.repair import KINDS

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.integration

LABEL = """
INSERT INTO post_emotions (
    platform, post_id, created_at, topic, kafka_partition, kafka_offset, hashtags, emotion,
    confidence, sadness, joy, love, anger, fear, surprise, model_id
)
VALUES ('tw', %s, %s, 'posts', 0, 0, '{}', 'joy', 0.9, 0, 0.9, 0, 0, 0, 0, 1)
"""
LIVE = """
INSERT INTO posts (
    platform, post_id, state, version, created_at, topic, topic_id, kafka_partition, kafka_offset
)
VALUES ('tw', %s, 'live', now(), now(), 'posts', '00000000-0000-0000-0000-000000000000', 0, 0)
"""


@pytest.fixture
def command(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[int, Result]]:
    monkeypatch.setenv("WORKER_DATABASE_URL", database_url)

    def run(*arguments: str) -> tuple[int, Result]:
        result = CliRunner().invoke(app, ["verify", *arguments], standalone_mode=False)
        assert result.exception is None, result.output
        return result.return_value, result

    return run


def test_differences_are_listed_and_repaired(
    command: Callable[..., tuple[int, Result]], database_url: str
) -> None:
    code, result = command()
    assert (code, "exact" in result.stdout) == (0, True)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("SET TimeZone TO 'UTC'")
        for number in range(2):
            connection.execute(LABEL, (str(number), f"2026-03-0{number + 1} 12:00Z"))
        connection.execute(LIVE, ("lost",))
        connection.execute("UPDATE posts SET version = '2026-03-05Z', created_at = '2026-03-05Z'")

    code, result = command("--json")
    found: dict[str, Any] = json.loads(result.stdout)
    assert (code, found["exact"], found["labels"], "repaired" in found) == (1, False, 2, False)
    counts = Counter(one["invariant"] for one in found["differences"])
    # Of each label a minute, an hour and a day in some dimensions.
    each = counts["cells"] // 2
    assert (each % 3, counts) == (0, {"cells": 2 * each, "identities": 3})
    code, result = command()
    assert (code, f"... and {2 * each + 3 - 20} more" in result.stdout) == (1, True)
    assert "verify --repair" in result.stderr

    code, result = command("--repair")
    assert code == 0, result.output
    assert [line.split() for line in result.stdout.splitlines() if line.startswith("  2026")] == [
        ["2026-03-01", "1", "0", "0", str(each)],
        ["2026-03-02", "1", "0", "0", str(each)],
        ["2026-03-05", "0", "0", "1", "0"],
    ]
    assert f"exact: {2 * each} trend cells equal 2 labels" in result.stdout
    assert "tw:lost" in result.stderr
    code, result = command("--repair")
    assert (code, result.stdout.splitlines()[0]) == (0, "nothing to repair")


def test_a_repair_as_json_and_a_ledger_that_it_cannot_mend(
    command: Callable[..., tuple[int, Result]], database_url: str
) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(LABEL, ("1", "2026-03-01 12:00Z"))
        connection.execute("ALTER TABLE stream_offsets DROP CONSTRAINT stream_offsets_ledger")
        connection.execute(
            "INSERT INTO stream_offsets (consumer_group, topic, topic_id, kafka_partition, stale) "
            "VALUES ('g', 'posts', gen_random_uuid(), 0, 1)"
        )
    code, result = command("--repair", "--json")
    found: dict[str, Any] = json.loads(result.stdout)
    assert (code, found["exact"]) == (1, False)
    assert [one["invariant"] for one in found["differences"]] == ["ledger"]
    assert found["repaired"] == {
        "days": {
            "2026-03-01": dict(
                zip(
                    (kind.replace(" ", "_") for kind in KINDS),
                    (1, 0, 0, found["cells"]),
                    strict=True,
                )
            )
        },
        "lost": [],
    }
    code, result = command()
    assert (code, "cannot be mended" in result.stderr) == (1, True)
