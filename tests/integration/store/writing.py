"""What tests of the store do with a stream: write all of it, and see whether all fits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from worker.store.connection import connect
from worker.store.verify import verify

if TYPE_CHECKING:
    from collections.abc import Sequence

    from worker.batching import Item


def write(writer: Any, number: int, items: Sequence[Item], size: int = 100) -> None:
    """Claims the partition and writes `items`, `size` in a batch; none is fenced."""
    writer.claim(number)
    for batch in writer.batches(number, items, size):
        assert not writer.store.write(batch).fenced


def exact(url: str) -> bool:
    """Whether `verify` finds nothing."""
    with connect(url, application_name="test") as connection:
        return not verify(connection).differences
