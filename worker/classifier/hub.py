"""Bundles from the Hugging Face hub."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from worker.errors import DependencyError

if TYPE_CHECKING:
    from collections.abc import Sequence


def download(model: str, *, wanted: Sequence[str]) -> Path:
    """Downloads a model's files, or finds them in the hub's cache where the hub is away.

    Args:
        model: The repository's id, `owner/name`.
        wanted: The names of the files; those that the repository lacks are left out.

    Returns:
        The folder of the snapshot.

    Raises:
        DependencyError: The hub cannot be reached and the cache lacks the model, or the hub has no
            such model.
    """
    # Imported here: it costs half a second, and most bundles are folders.
    from huggingface_hub import snapshot_download  # noqa: PLC0415
    from huggingface_hub.errors import RepositoryNotFoundError  # noqa: PLC0415
    from huggingface_hub.utils.tqdm import (  # noqa: PLC0415
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
    )

    silence = not sys.stderr.isatty() and not are_progress_bars_disabled()
    if silence:
        disable_progress_bars()
    try:
        return Path(snapshot_download(model, allow_patterns=list(wanted)))
    except RepositoryNotFoundError:
        raise DependencyError(
            f"WORKER_MODEL={model}: there is no such folder, and the Hugging Face hub has no such "
            "model, or shows it only to those who log in. Check the name, or set HF_TOKEN."
        ) from None
    except Exception as error:  # the hub's client lets the errors of several libraries through
        cause = str(error).strip().splitlines()
        raise DependencyError(
            f"WORKER_MODEL={model}: there is no such folder, and the Hugging Face hub could not be "
            f"asked for it ({cause[0] if cause else type(error).__name__}). Check the network, or "
            "give a bundle's folder."
        ) from error
    finally:
        if silence:
            enable_progress_bars()
