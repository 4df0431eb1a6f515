"""The format `bluesky`: the Bluesky Jetstream's events, docs/reference/formats.md."""

from __future__ import annotations

import re
from itertools import islice, product
from typing import TYPE_CHECKING, Any, Final

from worker.posts.decode import MAX_ID_CHARS, MAX_TEXT_CHARS
from worker.posts.formats.interface import Format, Trace
from worker.posts.formats.jetstream import event_in, post_in
from worker.posts.hashtags import hashtags_given, hashtags_in
from worker.posts.languages import canonical_language
from worker.posts.model import Post, Skipped, Withdrawal
from worker.posts.rejections import UnfitError
from worker.posts.times import event_time, from_microseconds, plausible

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from worker.posts.formats.interface import Decoded
    from worker.posts.formats.jetstream import Commit, Event, PostRecord
    from worker.posts.model import Record

PLATFORM: Final = "bluesky"
COLLECTION: Final = "app.bsky.feed.post"
SKIPS: Final = (
    ("other_record", "a record that is no post was written: a like, a repost, a follow, a profile"),
    ("account", "an account was activated, deactivated, deleted or taken down"),
    ("identity", "an account's handle or keys changed"),
    ("other_event", "an event of another kind than `commit`, `account` and `identity`"),
)
"""The events that are none of a post's business, and what they are."""

_TAG: Final = "app.bsky.richtext.facet#tag"
# https://atproto.com/specs/did and https://atproto.com/specs/record-key
_DID_CHARS: Final = r"did:[a-z]+:[A-Za-z0-9._:%-]{0,255}[A-Za-z0-9._-]"
_DID: Final = re.compile(_DID_CHARS)
_RKEY: Final = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9._:~-]{1,512}")
_KEY: Final = re.compile(rf"(?:{PLATFORM}:)?(at://({_DID_CHARS})/{re.escape(COLLECTION)}/(.+))")
_RKEY_IN_TEXT: Final = re.compile(
    r"""rkey[\\"']*\s*[:=]\s*[\\"']*([A-Za-z0-9._:~-]{1,512})"""  # also in JSON that is a string
)
_MOST_TRACED: Final = 8
"""Authors, and keys of records, of one text: an event has one of each."""


def decode(record: Record) -> Decoded:
    """What an event says of a post, by docs/reference/formats.md; it never raises."""
    try:
        if record.value is None:
            return _withdrawn_by_key(record)
        return _said(record, event_in(record.value))
    except UnfitError as unfit:
        return unfit.rejection(record.ref)


def _said(record: Record, event: Event) -> Post | Withdrawal | Skipped:
    kind = event["kind"]
    if kind != "commit":
        return Skipped(record.ref, kind if kind in {"account", "identity"} else "other_event")
    commit = event.get("commit")
    if commit is None:
        raise UnfitError("missing_field", "`commit` is missing.", cause="commit")
    if commit["collection"] != COLLECTION:
        return Skipped(record.ref, "other_record")
    return _changed(record, event, commit)


def _changed(record: Record, event: Event, commit: Commit) -> Post | Withdrawal:
    did = event["did"]
    post_id = _post_id(did, commit["rkey"])
    operation = commit["operation"]
    if operation == "delete":
        return Withdrawal(record.ref, PLATFORM, post_id, did)
    if operation not in {"create", "update"}:
        raise UnfitError(
            "bad_event",
            "`commit.operation` is neither create nor update nor delete.",
            cause="commit.operation",
        )
    post = post_in(commit)
    text = post["text"].replace("\0", "")
    if len(text) > MAX_TEXT_CHARS:
        raise UnfitError(
            "text_too_long",
            f"`commit.record.text` has more than {MAX_TEXT_CHARS} characters.",
            cause="commit.record.text",
        )
    seen = plausible(
        from_microseconds(event["time_us"], field="time_us"),
        field="time_us",
        timestamp_ms=record.timestamp_ms,
    )
    created_at = _created_at(post, seen)
    return Post(
        ref=record.ref,
        platform=PLATFORM,
        post_id=post_id,
        text=text,
        created_at=created_at,
        version=created_at if operation == "create" else seen,
        lang=_language(post.get("langs")),
        author_id=did,
        hashtags=_hashtags(post, text),
    )


def _created_at(post: PostRecord, seen: datetime) -> datetime:
    """When it was posted: as its client says, but never after the server saw it.

    A client whose clock is ahead has posted all the same, and the network's own views sort such a
    post by the time at which it was seen
    (https://docs.bsky.app/docs/advanced-guides/timestamps#sortat). One whose clock is behind cannot
    be told from one that imports an old post.
    """
    claimed = event_time(post["createdAt"], field="commit.record.createdAt", timestamp_ms=-1)
    return min(claimed, seen)


def _post_id(did: str, rkey: str) -> str:
    """The post's AT URI (https://atproto.com/specs/at-uri-scheme)."""
    if not _DID.fullmatch(did):
        raise UnfitError("bad_id", "`did` is no DID.", cause="did")
    if not _RKEY.fullmatch(rkey):
        raise UnfitError("bad_id", "`commit.rkey` is no record key.", cause="commit.rkey")
    post_id = f"at://{did}/{COLLECTION}/{rkey}"
    if len(post_id) > MAX_ID_CHARS:
        raise UnfitError(
            "bad_id", f"The post's AT URI has more than {MAX_ID_CHARS} characters.", cause="uri"
        )
    return post_id


def _withdrawn_by_key(record: Record) -> Withdrawal:
    """The post that a tombstone withdraws, as in a compacted copy of the stream.

    Raises:
        UnfitError: Its key is no post's AT URI.
    """
    key = (record.key or b"").decode("utf-8", "replace")
    match = _KEY.fullmatch(key)
    if match is not None:
        return Withdrawal(record.ref, PLATFORM, _post_id(match[2], match[3]), match[2])
    raise UnfitError(
        "null_value", "The value is null and the key is no AT URI of a post.", cause="key"
    )


def _language(langs: Any) -> str | None:  # noqa: ANN401
    """The first that is well formed: a client gives up to three, its user's own first."""
    for lang in langs if isinstance(langs, list) else ():
        if isinstance(lang, str):
            try:
                found = canonical_language(lang.replace("\0", ""))
            except UnfitError:
                continue
            if found is not None:
                return found
    return None


def _hashtags(post: PostRecord, text: str) -> tuple[str, ...]:
    """Those that the client marked; those of the text where it marks nothing at all."""
    facets, tags = post.get("facets"), post.get("tags")
    if not isinstance(facets, list) and not isinstance(tags, list):
        return hashtags_in(text)
    given = (*_facet_tags(facets), *(tags if isinstance(tags, list) else ()))
    return hashtags_given(tag.replace("\0", "") for tag in given if isinstance(tag, str))


def _facet_tags(facets: Any) -> Iterator[object]:  # noqa: ANN401
    for facet in facets if isinstance(facets, list) else ():
        features = facet.get("features") if isinstance(facet, dict) else None
        for feature in features if isinstance(features, list) else ():
            if isinstance(feature, dict) and feature.get("$type") == _TAG:
                yield feature.get("tag")


def traces(text: str) -> Iterator[Trace]:
    """Posts of every DID and every record key that stand in `text`, a few of each."""
    if "rkey" not in text:
        return
    dids = islice((match[0] for match in _DID.finditer(text)), _MOST_TRACED)
    rkeys = islice((match[1] for match in _RKEY_IN_TEXT.finditer(text)), _MOST_TRACED)
    for did, rkey in product(dict.fromkeys(dids), dict.fromkeys(rkeys)):
        yield Trace(PLATFORM, f"at://{did}/{COLLECTION}/{rkey}", did)


BLUESKY: Final = Format(name="bluesky", decode=decode, skips=SKIPS, traces=traces)
