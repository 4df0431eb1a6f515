"""The pretrained encoder: where it is, and what it is called."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Final

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError

from trainer.hub import WITHOUT, quiet_hub
from worker.errors import DependencyError, SettingsError

WEIGHTS: Final = "model.safetensors"
_HUB_ID: Final = re.compile(r"[\w.-]+(/[\w.-]+)?")
_NEEDED: Final = ("config.json", WEIGHTS, "tokenizer.json")
_WANTED: Final = (*_NEEDED, "tokenizer_config.json", "special_tokens_map.json", "vocab.txt")


def locate(source: str) -> Path:
    """Finds the encoder's folder.

    Args:
        source: A folder, or a hub id, which is downloaded into the hub's cache.

    Raises:
        SettingsError: The folder is no encoder.
        DependencyError: The hub could not be reached.
    """
    path = Path(source)
    if not path.is_dir():
        path = _from_hub(source)
    missing = [name for name in _NEEDED if not (path / name).is_file()]
    if missing:
        raise SettingsError(
            f"--base {source}: no {', '.join(missing)} there; an encoder is a folder with "
            f"{', '.join(_NEEDED)}"
        )
    return path


def sha256(encoder: Path) -> str:
    """SHA-256 of the encoder's weights, hex."""
    with (encoder / WEIGHTS).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _from_hub(source: str) -> Path:
    if not _HUB_ID.fullmatch(source):
        raise SettingsError(f"--base {source}: no such folder")
    try:
        with quiet_hub():
            return Path(snapshot_download(source, allow_patterns=list(_WANTED)))
    except HFValidationError as error:
        raise SettingsError(f"--base {source}: no such folder, and no hub id") from error
    except (OSError, HfHubHTTPError) as error:
        raise DependencyError(
            f"--base {source}: not to be had from the Hugging Face hub "
            f"({type(error).__name__}); {WITHOUT}"
        ) from error
