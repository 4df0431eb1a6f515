from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from worker.errors import SettingsError
from worker.local import accounts
from worker.local.accounts import Account, blocked_at, make_run_dir, service_account

if TYPE_CHECKING:
    from collections.abc import Iterator

STRANGER = Account("stranger", 4_000_000, 4_000_000)


@pytest.fixture
def way() -> Iterator[Path]:
    """A folder in a folder in a folder, all open; pytest's own would be closed to a stranger."""
    outer = Path(tempfile.mkdtemp(prefix="ew-test-", dir="/tmp"))
    inner = outer / "middle" / "inner"
    inner.mkdir(parents=True)
    for folder in (inner, inner.parent, outer):
        folder.chmod(0o755)
    yield inner
    shutil.rmtree(outer)


def test_an_open_way(way: Path) -> None:
    assert blocked_at(way, STRANGER) is None


@pytest.mark.parametrize("depth", [0, 1, 2])
def test_the_outermost_closed_folder_is_named(depth: int, way: Path) -> None:
    folders = (way, *way.parents)[: depth + 1]
    for folder in folders:
        folder.chmod(0o700)
    assert blocked_at(way, STRANGER) == folders[-1]


def test_the_group_s_right_counts_for_the_group_alone(way: Path) -> None:
    way.chmod(0o701)
    member = Account("member", STRANGER.uid, way.stat().st_gid)
    assert blocked_at(way, member) == way
    assert blocked_at(way, STRANGER) is None
    way.chmod(0o710)
    assert blocked_at(way, member) is None
    assert blocked_at(way, STRANGER) == way


def test_a_link_is_followed(way: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(way)
    way.parent.chmod(0o700)
    assert blocked_at(link, STRANGER) == way.parent


def test_root_becomes_somebody_and_others_stay_who_they_are() -> None:
    account = service_account()
    if os.geteuid() == 0:
        assert account is not None
        assert account.uid != 0
    else:
        assert account is None


def test_root_becomes_the_owner_of_the_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    account = service_account(4_000_000)
    assert account == Account("4000000", 4_000_000, 4_000_000)


def test_a_run_dir_is_private_and_short(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    deep = tmp_path / ("deep" * 20)
    deep.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(deep))
    folder = make_run_dir(None)
    try:
        assert not folder.is_relative_to(deep)
        assert folder.stat().st_mode & 0o777 == 0o700
        assert len(str(folder / "socket" / ".s.PGSQL.65535")) <= 107
    finally:
        folder.rmdir()


def test_no_temporary_folder_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accounts, "blocked_at", lambda path, _: path)
    with pytest.raises(SettingsError, match=r"/tmp \(closed to user stranger\).*Set TMPDIR"):
        make_run_dir(STRANGER)
