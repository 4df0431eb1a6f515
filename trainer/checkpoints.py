"""The checkpoints of a seed: which one to go on from."""

from __future__ import annotations

import json
import zipfile
from typing import TYPE_CHECKING, Final

from safetensors import SafetensorError, safe_open

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_STATE: Final = "trainer_state.json"
_WEIGHTS: Final = "model.safetensors"
_ZIPPED: Final = ("optimizer.pt", "scheduler.pt")


def newest_whole(folder: Path, *, say: Callable[[str], None]) -> Path | None:
    """The newest checkpoint that is whole.

    One that was being written when its process was killed, or whose disk was full, is cut short;
    the one before it is taken then.

    Args:
        folder: Of the seed's checkpoints; need not be there.
        say: Gets a line for each that is passed over.
    """
    found = [path for path in folder.glob("checkpoint-*") if path.name[11:].isdigit()]
    for path in sorted(found, key=lambda path: -int(path.name[11:])):
        fault = _fault(path)
        if fault is None:
            return path
        say(f"{path} is cut short ({fault}): passed over")
    return None


def _fault(checkpoint: Path) -> str | None:
    try:
        json.loads((checkpoint / _STATE).read_text("utf-8"))
        with safe_open(checkpoint / _WEIGHTS, framework="pt") as weights:
            weights.keys()
        for name in _ZIPPED:
            # torch writes zip files; their directory stands at the end, where a cut takes it away.
            with zipfile.ZipFile(checkpoint / name):
                pass
    except FileNotFoundError as error:
        return f"{error.filename or _WEIGHTS} is missing".replace(f"{checkpoint}/", "")
    except (OSError, ValueError, SafetensorError, zipfile.BadZipFile) as error:
        return f"{type(error).__name__}: {error}"
    return None
