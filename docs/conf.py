"""The site of these pages, for Sphinx: `make docs` builds it and fails on any broken link.

The pages are CommonMark, as GitHub shows them, and so is MyST; the repository's root is the source
folder, so that a link to a file outside of docs/ is checked as any other. Nothing is fetched by a
reader's browser but the site itself.

Not MkDocs: it is no longer developed, its Material theme is only maintained, and its dialect, which
Zensical has too, reads lists otherwise than GitHub does.
"""

from __future__ import annotations

import re
import shutil
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from sphinx.application import Sphinx

_ROOT: Final = Path(__file__).parents[1]
_PROJECT: Final = tomllib.loads((_ROOT / "pyproject.toml").read_text("utf-8"))["project"]
_SECTION: Final = re.compile(r"^\*\*(?P<name>[^*]+)\*\*.*\n(?P<items>(?:(?:- |  ).*\n?)+)", re.M)
_PAGE: Final = re.compile(r"\]\(([^)#]+)\.md\)")
MORE: Final = {
    "The project": (
        "/docs/README",
        "/CHANGELOG",
        "/CONTRIBUTING",
        "/SECURITY",
        "Model card </worker/models/builtin/README>",
    )
}

project = _PROJECT["name"]
version = release = _PROJECT["version"]
html_title = project
root_doc = "README"
extensions = ["myst_parser"]
myst_heading_anchors = 4
include_patterns = ["docs/**.md", "worker/models/builtin/README.md", "*.md"]
exclude_patterns = [".*", "build", "runs", "logs", "tests", "deploy", "node_modules"]
nitpicky = True
highlight_language = "text"
# What Pygments cannot read as the language that a block names is shown plain, and no fault.
suppress_warnings = ["misc.highlighting_failure"]

html_theme = "furo"
html_copy_source = False
html_show_copyright = False
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_theme_options = {"navigation_with_keys": True}


def sections() -> dict[str, list[str]]:
    """The pages by section, as docs/README.md lists them: it is the one list."""
    index = (_ROOT / "docs" / "README.md").read_text("utf-8")
    return {
        found["name"]: [f"/docs/{page}" for page in _PAGE.findall(found["items"])]
        for found in _SECTION.finditer(index)
    }


def _add_navigation(_app: Sphinx, name: str, source: list[str]) -> None:
    if name == root_doc:
        for caption, pages in {**sections(), **MORE}.items():
            head = f"```{{toctree}}\n:hidden:\n:caption: {caption}\n\n"
            source[0] += f"\n{head}" + "\n".join(pages) + "\n```\n"


def _give_it_an_index(app: Sphinx, failed: Exception | None) -> None:
    if failed is None and app.builder.format == "html":
        shutil.copyfile(app.outdir / f"{root_doc}.html", app.outdir / "index.html")


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    app.connect("source-read", _add_navigation)
    app.connect("build-finished", _give_it_an_index)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
