"""What somebody who mistyped a name may have meant."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def did_you_mean(value: str, known: Iterable[str]) -> str:
    """A question that names up to three of `known` that look like `value`; empty without any."""
    folded = {name.casefold(): name for name in known}
    found = [folded[name] for name in get_close_matches(value.casefold(), folded, cutoff=0.7)]
    return f" Did you mean {' or '.join(map(repr, found))}?" if found else ""
