"""The module that docs/how-to/write-a-format.md makes, step by step, does what it says."""

from __future__ import annotations

import sys
from importlib.util import module_from_spec, spec_from_file_location
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from tests.unit.docs.markdown import ROOT, blocks
from worker.posts import Post, Record, RecordRef, Rejection

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PAGE = ROOT / "docs" / "how-to" / "write-a-format.md"


@pytest.fixture
def toots(tmp_path: Path) -> Iterator[Any]:
    code = [one for one in blocks(PAGE) if one.language == "python" and one.shown is None]
    assert len(code) == 2
    (tmp_path / "toots.py").write_text("\n\n".join(one.text for one in code))
    spec = spec_from_file_location("toots_of_the_page", tmp_path / "toots.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[spec.name] = module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module.TOOTS
    del sys.modules[spec.name]


def _record(value: bytes | None) -> Record:
    return Record(RecordRef("fediverse", UUID(int=0), 0, 0), 1_780_000_000_000, None, value)


def test_a_toot_is_a_post(toots: Any) -> None:
    toot = b'{"id": "7", "created_at": "2026-03-01T09:00:10Z", "content": "hello #World"}'
    post = toots.decode(_record(toot))
    assert isinstance(post, Post)
    assert (post.platform, post.post_id, post.hashtags) == ("fediverse", "7", ("world",))


@pytest.mark.parametrize("value", [None, b"", b"\xff", b"{}", b"[]", b'{"id": 7}'])
def test_what_is_no_toot_is_rejected(toots: Any, value: bytes | None) -> None:
    assert isinstance(toots.decode(_record(value)), Rejection)
