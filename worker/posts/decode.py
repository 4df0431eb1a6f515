"""From a Kafka record to a post, a withdrawal or a rejection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from worker.posts.hashtags import hashtags_given, hashtags_in
from worker.posts.languages import canonical_language
from worker.posts.model import Post, Withdrawal
from worker.posts.rejections import UnfitError
from worker.posts.times import event_time
from worker.posts.wire import parse

if TYPE_CHECKING:
    from worker.posts.model import Record, Rejection
    from worker.posts.wire import Message

MAX_ID_CHARS: Final = 256
MAX_PLATFORM_CHARS: Final = 256
MAX_AUTHOR_ID_CHARS: Final = 256
MAX_TEXT_CHARS: Final = 20_000


def decode(record: Record) -> Post | Withdrawal | Rejection:
    """What `record` says, by docs/reference/post.md. Lengths are counted in code points.

    It never raises, and depends on nothing but the record: a replay decides as the live worker
    did.
    """
    try:
        if record.value is None:
            return _withdrawn_by_key(record)
        message = parse(record.value)
        post_id = _post_id(_required_text(message, "id"))
        given = message.get("platform")
        platform = record.ref.topic if given is None else _platform(given.replace("\0", ""))
        if message.get("deleted"):
            return Withdrawal(record.ref, platform, post_id, _withdrawn_author(message))
        return _post(record, message, platform, post_id)
    except UnfitError as unfit:
        return unfit.rejection(record.ref)


def _post(record: Record, message: Message, platform: str, post_id: str) -> Post:
    text = _required_text(message, "text")
    if len(text) > MAX_TEXT_CHARS:
        raise UnfitError(
            "text_too_long", f"`text` has more than {MAX_TEXT_CHARS} characters.", cause="text"
        )
    created = message.get("created_at")
    if created is None:
        raise _missing("created_at")
    created_at = event_time(created, field="created_at", timestamp_ms=record.timestamp_ms)
    edited = message.get("edited_at")
    version = (
        created_at
        if edited is None
        else event_time(edited, field="edited_at", timestamp_ms=record.timestamp_ms)
    )
    lang = message.get("lang")
    author_id = message.get("author_id")
    if author_id is not None:
        author_id = author_id.replace("\0", "") or None
        if author_id is not None and len(author_id) > MAX_AUTHOR_ID_CHARS:
            raise UnfitError(
                "bad_author_id",
                f"`author_id` has more than {MAX_AUTHOR_ID_CHARS} characters.",
                cause="author_id",
            )
    tags = message.get("hashtags")
    return Post(
        ref=record.ref,
        platform=platform,
        post_id=post_id,
        text=text,
        created_at=created_at,
        version=version,
        lang=None if lang is None else canonical_language(lang.replace("\0", "")),
        author_id=author_id,
        hashtags=(
            hashtags_in(text)
            if tags is None
            else hashtags_given(tag.replace("\0", "") for tag in tags)
        ),
    )


def _withdrawn_by_key(record: Record) -> Withdrawal:
    """The post that a tombstone withdraws.

    Raises:
        UnfitError: Its key is not `platform:id`.
    """
    try:
        key = (record.key or b"").decode().replace("\0", "")
    except UnicodeDecodeError:
        key = ""
    platform, _, post_id = key.partition(":")
    if 0 < len(platform) <= MAX_PLATFORM_CHARS and 0 < len(post_id) <= MAX_ID_CHARS:
        return Withdrawal(record.ref, platform, post_id)
    raise UnfitError(
        "null_value", "The value is null and the key is not `platform:id`.", cause="key"
    )


def _post_id(given: str) -> str:
    if not 0 < len(given) <= MAX_ID_CHARS:
        raise UnfitError("bad_id", f"`id` must have 1 to {MAX_ID_CHARS} characters.", cause="id")
    return given


def _platform(given: str) -> str:
    if ":" in given or not 0 < len(given) <= MAX_PLATFORM_CHARS:
        raise UnfitError(
            "bad_platform",
            f"`platform` must have 1 to {MAX_PLATFORM_CHARS} characters and no colon.",
            cause="platform",
        )
    return given


def _withdrawn_author(message: Message) -> str | None:
    author_id = (message.get("author_id") or "").replace("\0", "")
    return author_id if 0 < len(author_id) <= MAX_AUTHOR_ID_CHARS else None


def _required_text(message: Message, field: str) -> str:
    value = message.get(field)
    if not isinstance(value, str):  # parse() lets nothing pass but a string or None
        raise _missing(field)
    return value.replace("\0", "")


def _missing(field: str) -> UnfitError:
    return UnfitError("missing_field", f"`{field}` is missing.", cause=field)
