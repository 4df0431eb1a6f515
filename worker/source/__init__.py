"""Records in. Kafka is known in this room alone."""

from __future__ import annotations

from worker.source.interface import Polled, Rebalances, Source, TopicPartition

__all__ = ["Polled", "Rebalances", "Source", "TopicPartition"]
