"""Links between files of the repository lead to a file that there is, and to its heading."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import pytest

from docs.conf import MORE, sections
from tests.unit.docs.markdown import ROOT, anchors, links, pages

if TYPE_CHECKING:
    from pathlib import Path


def _broken(page: Path) -> list[str]:
    found = []
    for line, link in links(page):
        parts = urlsplit(link)
        if parts.scheme in {"https", "mailto"}:
            continue
        target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
        if parts.scheme or not target.is_relative_to(ROOT) or not target.exists():
            found.append(f"{line}: {link}")
        elif parts.fragment and parts.fragment not in anchors(target):
            found.append(f"{line}: {link}: no such heading")
    return found


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    assert _broken(page) == []


def test_there_are_pages_with_links() -> None:
    assert len(pages()) > 40
    assert sum(len([*links(page)]) for page in pages()) > 200


def test_every_page_is_in_the_index() -> None:
    index = ROOT / "docs" / "README.md"
    listed = {(index.parent / link).resolve() for _, link in links(index)}
    assert {page for page in pages() if (ROOT / "docs") in page.parents} - {index} <= listed


def test_the_site_s_navigation_has_every_page() -> None:
    shown = {name for names in (*sections().values(), *MORE.values()) for name in names}
    for page in pages():
        if (ROOT / "docs") in page.parents:
            assert f"/{page.relative_to(ROOT).with_suffix('')}" in shown


def test_a_link_that_leads_nowhere_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.unit.docs.test_links.ROOT", tmp_path)
    (tmp_path / "other.md").write_text("# One `two`\n\n## Again\n\n## Again\n")
    page = tmp_path / "page.md"
    page.write_text(
        "[a](other.md#one-two) [b](other.md#again-1) [c](#here) [d](gone.md)\n"
        "![e](gone.png) [f](other.md#again-2) [g](http://example.org) [h](../page.md)\n\n# Here\n"
    )
    assert [one.split()[1].removesuffix(":") for one in _broken(page)] == [
        "gone.md",
        "gone.png",
        "other.md#again-2",
        "http://example.org",
        "../page.md",
    ]
