"""The Bluesky Jetstream's events on the wire, in pydantic's strict mode.

Their shape is that of https://github.com/bluesky-social/jetstream (`/subscribe`, without
compression), a post's that of the lexicon `app.bsky.feed.post`,
https://github.com/bluesky-social/atproto/blob/main/lexicons/app/bsky/feed/post.json.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Required, TypeVar

from pydantic import ConfigDict, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from worker.posts.rejections import UnfitError
from worker.posts.wire import WrongShapeError, validated

if TYPE_CHECKING:
    from collections.abc import Mapping

_STRICT: Final = ConfigDict(strict=True, extra="ignore")


class Commit(TypedDict, total=False):
    """A change of a record in an account's repository.

    `record` is of whatever shape its collection has; a deletion has none.
    """

    __pydantic_config__ = _STRICT  # type: ignore[misc]

    operation: Required[str]
    collection: Required[str]
    rkey: Required[str]
    record: Any


class Event(TypedDict, total=False):
    """One event. `time_us` is the server's clock, microseconds since the epoch."""

    __pydantic_config__ = _STRICT  # type: ignore[misc]

    did: Required[str]
    time_us: Required[int]
    kind: Required[str]
    commit: Commit | None


class PostRecord(TypedDict, total=False):
    """A record of `app.bsky.feed.post`, as its author's client wrote it.

    What only adorns a post is of any shape: a strange facet makes it no less of a post.
    """

    __pydantic_config__ = _STRICT  # type: ignore[misc]

    text: Required[str]
    createdAt: Required[str]
    langs: Any
    facets: Any
    tags: Any


_EVENT: Final = TypeAdapter(Event)
_POST: Final = TypeAdapter(PostRecord)
_EXPECTED: Final[Mapping[str, str]] = {
    "did": "a string",
    "time_us": "an integer",
    "kind": "a string",
    "commit": "an object",
    "commit.operation": "a string",
    "commit.collection": "a string",
    "commit.rkey": "a string",
    "commit.record": "an object",
    "commit.record.text": "a string",
    "commit.record.createdAt": "a string",
}

T = TypeVar("T")


def event_in(value: bytes) -> Event:
    """The event in a record's value.

    Raises:
        UnfitError: It is not UTF-8, not JSON, or no such event.
    """
    try:
        return validated(_EVENT, value)
    except WrongShapeError as error:
        raise _unfit(error.problem, "") from None


def post_in(commit: Commit) -> PostRecord:
    """The post that a commit creates or updates.

    Raises:
        UnfitError: It has none, or what it has is none.
    """
    try:
        return _POST.validate_python(commit.get("record"))
    except ValidationError as error:
        if commit.get("record") is None:
            raise _missing("commit.record") from None
        raise _unfit(error, "commit.record") from None


def _unfit(error: ValidationError, within: str) -> UnfitError:
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    field = ".".join(part for part in (within, *map(str, first["loc"])) if part)
    if not field:
        return UnfitError("not_object", "The value is JSON, but not an object.", cause="value")
    if first["type"] == "missing":
        return _missing(field)
    return UnfitError("wrong_type", f"`{field}` must be {_EXPECTED[field]}.", cause=field)


def _missing(field: str) -> UnfitError:
    return UnfitError("missing_field", f"`{field}` is missing.", cause=field)
