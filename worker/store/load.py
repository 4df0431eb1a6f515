"""Rows for the batch's temporary tables, in binary `COPY`: the fastest way in, as measured."""

from __future__ import annotations

import hashlib
import hmac
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from worker.posts import Label, Post, Rejection, Unlabelled
from worker.posts.traces import traces
from worker.store.queries import query

if TYPE_CHECKING:
    from collections.abc import Sequence

    import psycopg

    from worker.posts import Record, Withdrawal
    from worker.store.interface import Entry

MAX_STORED_BYTES: Final = 1 << 20
"""Dead letters keep values up to 1 MiB; of a longer one the length and the SHA-256."""

_POST_TYPES: Final = (
    *("int4", "text", "text", "bytea", "text", "timestamptz", "int4", "timestamptz"),
    *("text", "uuid", "int4", "int8", "text", "text[]", "text", "text", "float4"),
    *("int4", "int4", "int4", "int4", "int4", "int4", "text"),
)
_REJECTION_TYPES: Final = (
    *("text", "uuid", "int4", "int8", "timestamptz", "bytea", "bytea", "int8", "bytea"),
    *("text", "text", "text", "bytea[]", "bytea[]", "bool"),
)
_NO_SCORES: Final = (None,) * 6
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Hasher:
    """Keyed hashes of identities: what the erasures hold instead of names."""

    __slots__ = ("_author_key", "_erasure_key")

    def __init__(self, erasure_key: bytes, author_key: bytes | None) -> None:
        self._erasure_key = erasure_key
        self._author_key = author_key

    def post(self, platform: str, post_id: str) -> bytes:
        """Of a post. A platform has no colon, so the text hashed is unambiguous."""
        return hmac.digest(self._erasure_key, f"{platform}:{post_id}".encode(), "sha256")

    def author(self, author_id: str | None) -> str | None:
        """Of an author, hex; None without an author or without a key."""
        if author_id is None or self._author_key is None:
            return None
        return hmac.digest(self._author_key, author_id.encode(), "sha256").hex()

    def author_key_fingerprint(self) -> bytes | None:
        """Tells one author key from another without giving it away; None without a key."""
        if self._author_key is None:
            return None
        return hmac.digest(self._author_key, b"emotion-stream author key", "sha256")


def load(
    cursor: psycopg.Cursor[tuple[object, ...]],
    entries: Sequence[Entry],
    *,
    hasher: Hasher,
    generation: int,
    store_text: bool,
) -> None:
    """Copies `entries` into the session's temporary tables. No shared lock is held meanwhile."""
    rejected = [entry for entry in entries if isinstance(entry.decoded, Rejection)]
    if len(rejected) < len(entries):
        with cursor.copy(query("load_posts")) as copy:
            copy.set_types(_POST_TYPES)
            for ordinal, entry in enumerate(entries):
                if not isinstance(entry.decoded, Rejection):
                    copy.write_row(
                        _post_row(
                            ordinal=ordinal,
                            decoded=entry.decoded,
                            entry=entry,
                            hasher=hasher,
                            generation=generation,
                            store_text=store_text,
                        )
                    )
    if rejected:
        with cursor.copy(query("load_rejections")) as copy:
            copy.set_types(_REJECTION_TYPES)
            for entry in rejected:
                assert isinstance(entry.decoded, Rejection)
                copy.write_row(_rejection_row(entry.record, entry.decoded, hasher))


def _post_row(
    *,
    ordinal: int,
    decoded: Post | Withdrawal,
    entry: Entry,
    hasher: Hasher,
    generation: int,
    store_text: bool,
) -> tuple[object, ...]:
    ref = decoded.ref
    identity = (
        ordinal,
        decoded.platform,
        decoded.post_id,
        hasher.post(decoded.platform, decoded.post_id),
        hasher.author(decoded.author_id),
    )
    place = (ref.topic, ref.topic_id, ref.partition, ref.offset)
    if not isinstance(decoded, Post):
        return (*identity, None, 0, None, *place, *(None,) * 5, *_NO_SCORES, None)
    label = entry.label
    said: tuple[object, ...]
    if isinstance(label, Label):
        said = (label.emotion, None, label.confidence, *label.scores)
    elif isinstance(label, Unlabelled):
        said = ("unlabelled", label.reason, None, *_NO_SCORES)
    else:
        raise TypeError(f"a post without a label reached the store: {ref}")
    return (
        *identity,
        decoded.version,
        generation,
        decoded.created_at,
        *place,
        decoded.lang,
        list(decoded.hashtags),
        *said,
        decoded.text if store_text else None,
    )


def _rejection_row(record: Record, rejection: Rejection, hasher: Hasher) -> tuple[object, ...]:
    ref = record.ref
    key, value = _bounded(record.key), _bounded(record.value)
    named = traces(ref.topic, key, value)
    authors = [hashed for name in named.names if (hashed := hasher.author(name)) is not None]
    return (
        *(ref.topic, ref.topic_id, ref.partition, ref.offset),
        *(_timestamp(record.timestamp_ms), key, value),
        None if record.value is None else len(record.value),
        None if record.value is None else hashlib.sha256(record.value).digest(),
        *(rejection.reason, rejection.detail, rejection.fingerprint),
        [hasher.post(platform, post_id) for platform, post_id in named.posts],
        [bytes.fromhex(hashed) for hashed in authors],
        named.opaque,
    )


def _bounded(raw: bytes | None) -> bytes | None:
    return raw if raw is None or len(raw) <= MAX_STORED_BYTES else None


def _timestamp(milliseconds: int) -> datetime | None:
    try:
        return None if milliseconds < 0 else _EPOCH + timedelta(milliseconds=milliseconds)
    except OverflowError:
        return None
