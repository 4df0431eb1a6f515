"""Which schema a worker may use: of any two versions, by what each migration says alone."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from worker.store.revision import Standing, known, newest, scripts
from worker.store.steps import NOTED_FROM, Step, _steps

MINE = ("0004", "0005", "0006")


def refusal(revision: str | None, **noted: str) -> str | None:
    """Of a worker that knows MINE: keywords say which oldest revision each migration notes."""
    rows = {name.removeprefix("r"): (oldest, "9.8.7") for name, oldest in noted.items()}
    return Standing(revision, rows).refusal(MINE)


def test_the_files_tell_the_revisions() -> None:
    assert newest() == known()[-1]
    assert list(known()) == [f"{number:04}" for number in range(1, len(known()) + 1)]
    assert NOTED_FROM in known()
    assert len([*(scripts() / "versions").glob("*.py")]) == len(known())


@pytest.mark.parametrize(
    ("standing", "said"),
    [
        (Standing(None, {}), "emotion-worker migrate"),
        (Standing("0004", {}), "is at 0004, and this worker needs 0006: run `emotion-worker mig"),
        (Standing("0005", {"0005": ("0004", "1")}), "run `emotion-worker migrate`"),
        (Standing("f00", {}), "does not know"),
        (Standing("0006 and f00", {}), "does not know"),
    ],
)
def test_what_is_missing_or_foreign_is_refused(standing: Standing, said: str) -> None:
    assert said in (standing.refusal(MINE) or "")


def test_a_later_schema_is_refused_where_it_asks_for_more() -> None:
    assert refusal("0006") is None
    assert refusal("0008", r0005="0004", r0006="0004", r0007="0004", r0008="0006") is None
    said = refusal("0008", r0005="0004", r0006="0004", r0007="0004", r0008="0007")
    assert said is not None
    assert "asks for workers that know 0007" in said
    assert "run version 9.8.7" in said


def test_a_fork_is_refused_though_it_asks_for_little() -> None:
    assert "was it made from 0006" in (refusal("0006b", r0005="0004", r0006b="0004") or "")
    assert "was it made from 0006" in (refusal("0007", r0005="0004", r0006="0004") or "")


def line(oldest: list[int | None]) -> list[Step]:
    """Migrations 0001 and on: None expands, a number is the oldest that a contraction asks for."""
    scripts: list[Any] = [
        SimpleNamespace(
            revision=f"{number:04}",
            doc="",
            module=SimpleNamespace(kind="expand")
            if one is None
            else SimpleNamespace(kind="contract", oldest=f"{max(1, number - one):04}"),
        )
        for number, one in enumerate(oldest, start=1)
    ]
    return _steps(scripts)


@given(
    oldest=st.lists(st.none() | st.integers(0, 3), min_size=1, max_size=8),
    known=st.integers(1, 8),
    stands=st.integers(1, 8),
)
@example([None, None, 0, None, 3], 2, 5)  # a contraction that asks for less than one before it
def test_a_worker_goes_on_unless_a_contraction_after_it_asks_for_more(
    oldest: list[int | None], known: int, stands: int
) -> None:
    migrations = line(oldest)
    known, stands = min(known, len(migrations)), min(stands, len(migrations))
    mine = [step.revision for step in migrations[:known]]
    noted = {step.revision: (step.oldest, "1") for step in migrations[:stands]}
    said = Standing(f"{stands:04}", noted).refusal(mine)
    if stands < known:
        assert said is not None
        assert "emotion-worker migrate" in said
    else:
        ended = any(
            step.kind == "contract" and int(step.oldest) > known
            for step in migrations[known:stands]
        )
        assert (said is not None) == ended


def test_a_step_is_read_as_words() -> None:
    one, other = line([None, 0])
    assert str(one) == "0001 expand: "
    assert str(other) == "0002 contract:  (workers must know 0002)"
