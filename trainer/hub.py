"""The Hugging Face hub: quietly, and what to do without it."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

WITHOUT: Final = (
    "without the hub, give the data as a folder with train.txt, val.txt and test.txt, --data "
    "FOLDER, and the encoder as another, --base FOLDER"
)


@contextmanager
def quiet_hub() -> Iterator[None]:
    """Within it, the hub's client does not report each of its retries: we say how it ended."""
    logger = logging.getLogger("huggingface_hub")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
