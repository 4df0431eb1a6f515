"""Which partitions are ours, under which claim: noted by the I/O thread, asked by all stages."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from worker.source.interface import TopicPartition


class Assignment:
    """The consumer group's assignment as far as this member knows it. Thread-safe.

    Each assignment of a partition gets a token of its own, so that the answer to a claim made
    before a rebalance is not taken for one made after it. Once a claim is confirmed, the
    partition has an epoch; work read under another epoch is dropped wherever it is met.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._last_token = 0
        self._tokens: dict[TopicPartition, int] = {}
        self._epochs: dict[TopicPartition, int] = {}
        self._unclaimed: dict[TopicPartition, int] = {}
        self._rebalances = 0
        self._joins_mended = 0

    def assigned(self, partitions: Iterable[TopicPartition]) -> None:
        """Takes note of partitions that are ours from now on: each must be claimed."""
        with self._lock:
            self._rebalances += 1
            for place in partitions:
                self._give_token(place)

    def revoked(self, partitions: Iterable[TopicPartition]) -> None:
        """Takes note of partitions that are no longer ours: their work is dropped."""
        with self._lock:
            for place in partitions:
                self._tokens.pop(place, None)
                self._epochs.pop(place, None)
                self._unclaimed.pop(place, None)

    def again(self, place: TopicPartition, epoch: int) -> bool:
        """Gives a fenced partition up for another claim, if it is still ours under `epoch`."""
        with self._lock:
            if self._epochs.get(place) != epoch:
                return False
            self._give_token(place)
            return True

    def anew(self, place: TopicPartition) -> None:
        """Lets a partition be claimed whatever became of the claim before, if it is still ours."""
        with self._lock:
            if place in self._tokens:
                self._give_token(place)

    def take_unclaimed(self) -> dict[TopicPartition, int]:
        """The partitions to claim now, with their tokens; each is returned once."""
        with self._lock:
            unclaimed, self._unclaimed = self._unclaimed, {}
            return unclaimed

    def put_back(self, place: TopicPartition, token: int) -> None:
        """Lets a partition be claimed later after all, if it is still ours."""
        with self._lock:
            if self._tokens.get(place) == token:
                self._unclaimed[place] = token

    def current(self, place: TopicPartition, token: int) -> bool:
        """Whether `token` is still the partition's."""
        with self._lock:
            return self._tokens.get(place) == token

    def confirm(self, place: TopicPartition, token: int, epoch: int) -> bool:
        """Enters a claim's epoch; False if the partition was given up or reassigned meanwhile."""
        with self._lock:
            if self._tokens.get(place) != token:
                return False
            self._epochs[place] = epoch
            return True

    def holds(self, place: TopicPartition, epoch: int) -> bool:
        """Whether work read under `epoch` is still ours to do."""
        with self._lock:
            return self._epochs.get(place) == epoch

    def partitions(self) -> frozenset[TopicPartition]:
        """All that are ours, claimed or not."""
        with self._lock:
            return frozenset(self._tokens)

    @property
    def rebalances(self) -> int:
        """How many assignments there were."""
        with self._lock:
            return self._rebalances

    def join_mended(self) -> None:
        """Takes note of a join that did not end by itself."""
        with self._lock:
            self._joins_mended += 1

    @property
    def joins_mended(self) -> int:
        """How many joins did not end by themselves."""
        with self._lock:
            return self._joins_mended

    def _give_token(self, place: TopicPartition) -> None:
        self._last_token += 1
        self._tokens[place] = self._last_token
        self._unclaimed[place] = self._last_token
        self._epochs.pop(place, None)
