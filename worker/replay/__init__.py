"""Replays: reading a stretch of the past again, beside the live stream, exactly."""

from __future__ import annotations

from worker.replay.begin import Request, begin
from worker.replay.filework import FileReplaying
from worker.replay.run import Replaying
from worker.replay.standing import Standing

__all__ = ["FileReplaying", "Replaying", "Request", "Standing", "begin"]
