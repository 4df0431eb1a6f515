"""Three stages and their queues: poll, classify, store. The only room that knows them all."""

from __future__ import annotations

from worker.pipeline.worker import Worker

__all__ = ["Worker"]
