"""Labels of texts that were scored before."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from worker.posts import Label


class LabelCache:
    """The labels of the `size` token sequences last asked for; reposts are common."""

    __slots__ = ("_labels", "_size")

    def __init__(self, size: int) -> None:
        self._size = size
        self._labels: OrderedDict[bytes, Label] = OrderedDict()

    def __len__(self) -> int:
        return len(self._labels)

    def get(self, key: bytes) -> Label | None:
        """The label under `key`, now the one last asked for; None if there is none."""
        label = self._labels.get(key)
        if label is not None:
            self._labels.move_to_end(key)
        return label

    def put(self, key: bytes, label: Label) -> None:
        """Keeps a label, at the cost of the one not asked for the longest."""
        self._labels[key] = label
        self._labels.move_to_end(key)
        if len(self._labels) > self._size:
            self._labels.popitem(last=False)
