"""Why a record is no post: a bounded set of reasons, and a fingerprint for equal causes."""

from __future__ import annotations

import hashlib
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from worker.posts.model import Rejection

if TYPE_CHECKING:
    from collections.abc import Mapping

    from worker.posts.model import RecordRef

REASONS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "null_value": "a null value whose key is not `platform:id`",
        "bad_utf8": "the value is not UTF-8",
        "bad_json": "the value is not JSON, or nested too deeply",
        "not_object": "the value is JSON, but no object",
        "missing_field": "a required field is absent or null",
        "wrong_type": "a field has another type than it should",
        "bad_id": "`id` is empty or too long",
        "bad_platform": "`platform` is empty, too long, or contains a colon",
        "text_too_long": "`text` is too long",
        "bad_time": "a time is neither RFC 3339 nor an epoch number in range",
        "naive_time": "a time has no zone",
        "old_time": "a time is before 2000",
        "future_time": "a time is over an hour after the record's own timestamp",
        "bad_lang": "`lang` is no well-formed BCP 47 tag",
        "bad_author_id": "`author_id` is too long",
        "bad_event": "an event contradicts itself or its format",
        "not_a_post": "a dead letter that was retried is, in its topic's format, about no post",
    }
)
"""Every reason for which a record is rejected as it is decoded, and what it means."""


class UnfitError(Exception):
    """What a record holds does not fit; `decode` turns it into a `Rejection`.

    Attributes:
        reason: One of `REASONS`.
        detail: One sentence naming the field and the problem, never the value.
        cause: Tells causes with the same reason apart, as the field's name.
    """

    def __init__(self, reason: str, detail: str, *, cause: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail
        self.cause = cause

    def rejection(self, ref: RecordRef) -> Rejection:
        """The rejection of the record at `ref`.

        The fingerprint is 16 hexadecimal digits of the SHA-256 of reason and cause: it does not
        depend on the record's values, nor on where in the value the problem lies.
        """
        digest = hashlib.sha256(f"{self.reason}:{self.cause}".encode()).hexdigest()
        return Rejection(ref, self.reason, self.detail, digest[:16])
