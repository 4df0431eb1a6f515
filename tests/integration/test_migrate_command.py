"""`emotion-worker migrate`: what it says and how it exits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from tests.fakes.migrations import Later
from worker.cli import main
from worker.store import migrate, revision, steps
from worker.store.locks import hold_revision

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.integration

NEWEST = revision.newest()


@pytest.fixture
def run(
    database_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[Any, str, str]]:
    """Runs `migrate` with options: exit code, stdout, stderr."""
    monkeypatch.setenv("WORKER_DATABASE_URL", database_url)

    def run(*options: str) -> tuple[Any, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(["migrate", *options])
        out, err = capsys.readouterr()
        return ended.value.code, out, err

    return run


@pytest.fixture
def later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Later:
    """A later version, whose command it is: what it adds is there."""
    later = Later(tmp_path)
    monkeypatch.setattr(migrate, "our_scripts", lambda: later.folder)
    return later


def test_what_was_done_and_whom_it_concerns(run: Callable[..., Any], later: Later) -> None:
    assert run("--plan") == (0, "nothing to do\n", "")
    code, out, err = run()
    assert (code, err) == (0, "")
    assert out.endswith(f": the schema is at {NEWEST} already\n")
    wide = later.expand()
    code, out, err = run()
    assert (code, err) == (0, "")
    assert out.endswith(f": schema {NEWEST} -> {wide}; workers that know 0004 go on\n")
    gone = later.contract()
    code, out, _ = run("--plan")
    assert (code, out) == (0, f"{gone} contract: A later contract (workers must know {wide})\n")
    code, out, _ = run()
    assert code == 0
    assert out.endswith(
        f"{wide} -> {gone}; workers that do not know {wide} are refused from now on\n"
    )


def test_workers_that_would_end_are_waited_for_unless_by_force(
    run: Callable[..., Any], later: Later, database_url: str
) -> None:
    wide = later.expand()
    gone = later.contract()
    with psycopg.connect(database_url, autocommit=True) as worker:
        hold_revision(worker, NEWEST)
        code, out, err = run("--wait", "0.3")
        assert (code, out) == (1, "")
        assert err.splitlines()[0] == (
            f"workers that do not know {wide} (sessions: 1) still run: waiting for them to be "
            "replaced"
        )
        assert f"{gone} would end workers" in err.splitlines()[1]
        assert run("--force")[0] == 0


def test_a_lock_that_is_held_for_too_long(
    run: Callable[..., Any], later: Later, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps, "LOCK_TIMEOUT_S", 0.1)
    later.expand()
    with psycopg.connect(database_url) as dump:
        dump.execute("SELECT count(*) FROM posts")
        code, out, err = run("--wait", "0")
    assert (code, out) == (3, "")
    assert "did not get the locks" in err
    assert "Traceback" not in err
