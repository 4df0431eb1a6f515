"""A post, a withdrawal, a rejection: from a record's bytes to one of them, and their order."""

from __future__ import annotations

from worker.posts.model import (
    LABELS,
    Label,
    Post,
    Record,
    RecordRef,
    Rejection,
    Skipped,
    Unlabelled,
    Withdrawal,
)

__all__ = [
    "LABELS",
    "Label",
    "Post",
    "Record",
    "RecordRef",
    "Rejection",
    "Skipped",
    "Unlabelled",
    "Withdrawal",
]
