"""How token sequences are put together for the model's forward passes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Chunk:
    """Rows for one forward pass.

    Attributes:
        start: The first row.
        stop: One past the last.
        width: Tokens that each row is padded to.
    """

    start: int
    stop: int
    width: int

    def __len__(self) -> int:
        return self.stop - self.start

    @property
    def tokens(self) -> int:
        """Tokens that the model computes, padding included."""
        return len(self) * self.width


def next_chunk(lengths: Sequence[int], start: int, *, budget: int, multiple: int) -> Chunk:
    """Takes as many rows from `start` on as the budget allows, and at least one.

    Args:
        lengths: Tokens of each row, in rising order.
        start: The first row, below `len(lengths)`.
        budget: Tokens of a chunk, padding included.
        multiple: Widths are rounded up to a multiple of this: fewer shapes.
    """
    stop = start
    width = 0
    while stop < len(lengths):
        wider = -(-lengths[stop] // multiple) * multiple
        if stop > start and wider * (stop - start + 1) > budget:
            break
        width = wider
        stop += 1
    return Chunk(start, stop, width)
