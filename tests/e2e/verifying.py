"""The last step of many tests here: what the database holds is right."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


def exact(run: Callable[..., Any]) -> None:
    """Makes sure that `verify` finds nothing."""
    code, out, err = run("verify")
    assert code == 0, out + err
