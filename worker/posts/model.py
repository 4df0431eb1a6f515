"""What travels through the worker: records, what they decode to, and the labels they get."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

LABELS: Final = ("sadness", "joy", "love", "anger", "fear", "surprise")
"""The six emotions, in the order of the reference data set's label ids."""


@dataclass(frozen=True, slots=True, order=True)
class RecordRef:
    """Where a record lies. Its order is the tie order of the design's section 3.4.

    Attributes:
        topic: The topic's name.
        topic_id: The topic's id (KIP-516); the zero UUID where the broker knows none.
        partition: The partition's number.
        offset: The record's offset in it.
    """

    topic: str
    topic_id: UUID
    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class Record:
    """A Kafka record as it came.

    Attributes:
        ref: Where it lies.
        timestamp_ms: The record's own timestamp, milliseconds since the epoch; negative if none.
        key: The raw key.
        value: The raw value; None is a tombstone.
    """

    ref: RecordRef
    timestamp_ms: int
    key: bytes | None
    value: bytes | None


@dataclass(frozen=True, slots=True)
class Post:
    """A version of a post.

    Attributes:
        ref: The record it came in.
        platform: Where it was posted; contains no colon.
        post_id: Unique within the platform, 1 to 256 characters.
        text: At most 20,000 characters, without NUL and lone surrogates.
        created_at: Event time, UTC.
        version: `edited_at` where the record has one, else `created_at`; UTC.
        lang: BCP 47 tag, or None if unknown.
        author_id: The author's id on the platform, or None. Never stored as it is.
        hashtags: Up to 10 distinct ones, case-folded, without `#`.
    """

    ref: RecordRef
    platform: str
    post_id: str
    text: str
    created_at: datetime
    version: datetime
    lang: str | None
    author_id: str | None
    hashtags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """A post's deletion, for good."""

    ref: RecordRef
    platform: str
    post_id: str
    author_id: str | None = None


@dataclass(frozen=True, slots=True)
class Rejection:
    """A record that is no post: it becomes a dead letter.

    Attributes:
        ref: Where the record lies.
        reason: A short stable name, as `bad_json`; the metric's label.
        detail: One sentence that a person understands. Never holds the post's text.
        fingerprint: Equal for rejections with the same cause, whatever their values.
    """

    ref: RecordRef
    reason: str
    detail: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Skipped:
    """A record that is none of a post's business, as a like among a network's events.

    It is passed over as a gap in the log is: the position moves on, and no ledger counts it.

    Attributes:
        ref: Where the record lies.
        event: What it is: a short stable name, the metric's label.
    """

    ref: RecordRef
    event: str


@dataclass(frozen=True, slots=True)
class Label:
    """What the classifier says of a text.

    Attributes:
        emotion: One of `LABELS`, or `uncertain`.
        confidence: Calibrated probability of the most probable of the six.
        scores: Calibrated probabilities of `LABELS`, in that order, as integers in millionths.
    """

    emotion: str
    confidence: float
    scores: tuple[int, int, int, int, int, int]


@dataclass(frozen=True, slots=True)
class Unlabelled:
    """Why a post is kept without a label.

    Attributes:
        reason: `empty` (nothing left after clean-up) or `language` (one the model does not know).
    """

    reason: str
