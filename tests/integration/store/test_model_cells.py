"""Which model labelled when: cells by model, also those of labels from before there were such."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from worker.classifier import ModelInfo
from worker.posts import LABELS
from worker.store import migrate
from worker.store.verify import verify

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

pytestmark = pytest.mark.integration

OTHER = ModelInfo("other", "2", "cd" * 32, "none", LABELS, {}, "none")
HOURS = 3_600


def write(writer: Any, items: Any) -> None:
    writer.claim(0, siblings=1)
    for batch in writer.batches(0, items, 100):
        writer.store.write(batch)


def differences(url: str) -> tuple[Any, ...]:
    with psycopg.connect(url) as connection:
        return verify(connection).differences


@pytest.fixture
def written(stream: Callable[..., Any], build: Any) -> tuple[int, int]:
    """Posts over eight hours by two models, some edited by the other; the models' ids."""
    first, second = stream(), stream()
    second.model_id = second.store.register_model(OTHER)
    write(first, [build.post(0, n, f"p{n}", created=n * HOURS // 2) for n in range(12)])
    edits = [build.post(0, 12, "p1", version=9, created=HOURS // 2)]
    edits += [build.post(0, 13 + n, f"q{n}", created=(14 + n) * HOURS // 2) for n in range(4)]
    edits += [build.post(0, 17, "empty", created=9 * HOURS, text=" ")]
    write(second, edits)
    return first.model_id, second.model_id


def test_runs_of_the_dominant_model(
    written: tuple[int, int], rows: Callable[..., Any], database_url: str, noon: datetime
) -> None:
    first, second = written
    assert differences(database_url) == ()
    found = rows("SELECT * FROM emotion_model_changes ORDER BY since")
    # The first hour has a post of each: the newer one counts.
    assert [row[:6] for row in found] == [
        (second, "other", "2", noon, noon + timedelta(hours=1), 1),
        (first, "stub", "1", noon + timedelta(hours=1), noon + timedelta(hours=6), 10),
        (second, "other", "2", noon + timedelta(hours=7), noon + timedelta(hours=10), 5),
    ]


def test_labels_from_before_get_theirs(
    written: tuple[int, int], rows: Callable[..., Any], database_url: str, noon: datetime
) -> None:
    sums = (
        "SELECT granularity, value, bucket, sum(sadness), sum(joy), sum(love), sum(anger), "
        "sum(fear), sum(surprise), sum(uncertain), sum(unlabelled), sum(sadness_score), "
        "sum(joy_score), sum(love_score), sum(anger_score), sum(fear_score), sum(surprise_score) "
        "FROM trend_cells WHERE dimension = 'model' GROUP BY 1, 2, 3 "
        "HAVING sum(sadness + joy + love + anger + fear + surprise + uncertain + unlabelled) > 0 "
        "ORDER BY 1, 2, 3"
    )
    before = rows(sums)
    assert len(before) > 20
    migrate.downgrade(database_url, "0002")
    assert rows(sums) == []
    rows("UPDATE policy SET minute_floor = %s RETURNING 1", noon + timedelta(hours=2))
    migrate.upgrade(database_url)
    assert rows(sums) == [
        row for row in before if row[0] != "1m" or row[2] >= noon + timedelta(hours=2)
    ]
    assert rows("SELECT DISTINCT slot FROM trend_cells WHERE dimension = 'model'") == [(0,)]
    assert differences(database_url) == ()


def test_what_is_taken_away_is_taken_from_its_model(
    written: tuple[int, int], stream: Callable[..., Any], build: Any, database_url: str
) -> None:
    third = stream()
    write(third, [build.withdrawal(0, 18 + n, f"p{n}") for n in range(12)])
    write(third, [build.withdrawal(0, 30 + n, f"q{n}") for n in range(4)])
    assert differences(database_url) == ()
