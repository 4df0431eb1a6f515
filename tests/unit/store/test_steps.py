"""Each migration states its kind, and an expansion takes nothing from the workers of before."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory

from worker.store.revision import known, scripts
from worker.store.steps import NOTED_FROM, steps

if TYPE_CHECKING:
    from alembic.script import Script

SQL = scripts() / "sql"
SQUAWK = Path(sys.executable).with_name("squawk")
NOT_ASKED = (
    "require-timeout-settings",  # `migrate` sets them
    "require-concurrent-index-deletion",  # of what an expansion adds nothing is deleted
    "prefer-bigint-over-int",
    "prefer-robust-stmts",
    "prefer-identity",
)
POLICY_LOCK = "SELECT pg_advisory_xact_lock(1701670772, 1);"


@pytest.fixture(scope="module")
def directory() -> ScriptDirectory:
    config = Config()
    config.set_main_option("script_location", str(scripts()))
    config.set_main_option("path_separator", "os")
    return ScriptDirectory.from_config(config)


@pytest.fixture(scope="module")
def ours(directory: ScriptDirectory) -> list[Script]:
    return [*reversed([*directory.walk_revisions()])]


def faults(path: Path) -> list[str]:
    """What is dangerous in a migration's SQL beside workers of before, by PyPI `squawk-cli`."""
    if not SQUAWK.exists():
        pytest.skip("squawk-cli has no wheel for this machine")
    done = subprocess.run(
        [SQUAWK, "--assume-in-transaction", "--pg-version=16.0", "--reporter=gcc",
         f"--exclude={','.join(NOT_ASKED)}", str(path)],
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    found = [line for line in done.stdout.splitlines() if line.startswith(str(path))]
    assert (done.returncode == 0) == (not found), done.stdout + done.stderr
    return found


def test_they_are_one_line_and_each_file_is_called_by_its_revision(
    directory: ScriptDirectory, ours: list[Script]
) -> None:
    assert len(directory.get_heads()) == 1
    assert tuple(script.revision for script in ours) == known()
    for script in ours:
        assert re.fullmatch(r"\d{4}", script.revision), "locks of workers are told by the number"
        assert Path(script.path).name.startswith(f"{script.revision}_")
        assert script.doc


def test_each_states_its_kind(ours: list[Script]) -> None:
    for script in ours:
        kind = script.module.kind
        assert kind in {"expand", "contract"}, script.revision
        assert hasattr(script.module, "oldest") == (kind == "contract"), script.revision
        if kind == "contract":
            assert "0001" <= script.module.oldest <= script.revision


def test_what_they_ask_for_never_sinks(directory: ScriptDirectory) -> None:
    found = [step.oldest for step in steps(directory)]
    assert found == sorted(found)
    assert found[0] == "0001"
    assert dict(zip(known(), found, strict=True))[NOTED_FROM] == "0004"


def test_an_expansion_takes_nothing_away_and_holds_nobody_up(ours: list[Script]) -> None:
    for script in ours:
        sql = SQL / f"{script.revision}_up.sql"
        if script.module.kind == "expand" and script.revision >= NOTED_FROM and sql.exists():
            assert faults(sql) == []


def test_a_contraction_keeps_writers_out_first(ours: list[Script]) -> None:
    for script in ours:
        if script.module.kind == "contract" and script.revision >= NOTED_FROM:
            text = (SQL / f"{script.revision}_up.sql").read_text(encoding="utf-8")
            first = next(line for line in text.splitlines() if line and not line.startswith("--"))
            assert first == POLICY_LOCK, script.revision


@pytest.mark.parametrize(
    "sql",
    [
        "ALTER TABLE posts DROP COLUMN author_hash;",
        "ALTER TABLE posts RENAME COLUMN author_hash TO author;",
        "ALTER TABLE posts RENAME TO identities;",
        "ALTER TABLE posts ADD COLUMN mood integer NOT NULL;",
        "ALTER TABLE posts ALTER COLUMN generation TYPE bigint;",
        "ALTER TABLE posts ALTER COLUMN author_hash SET NOT NULL;",
        "ALTER TABLE posts ADD CONSTRAINT named CHECK (topic <> '');",
        "CREATE INDEX posts_topic ON posts (topic);",
        "DROP TABLE kept_labels;",
    ],
)
def test_the_check_finds(sql: str, tmp_path: Path) -> None:
    path = tmp_path / "up.sql"
    path.write_text(sql, encoding="utf-8")
    assert faults(path)


@pytest.mark.parametrize(
    "sql",
    [
        "ALTER TABLE posts ADD COLUMN mood integer NOT NULL DEFAULT 0;",
        "CREATE TABLE moods (mood text NOT NULL); CREATE INDEX moods_mood ON moods (mood);",
        "ALTER TABLE posts ADD CONSTRAINT named CHECK (topic <> '') NOT VALID;",
    ],
)
def test_the_check_lets_pass(sql: str, tmp_path: Path) -> None:
    path = tmp_path / "up.sql"
    path.write_text(sql, encoding="utf-8")
    assert faults(path) == []
