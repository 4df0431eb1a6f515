"""Events of the Bluesky Jetstream, written by hand from its documentation, and whatever else."""

# ruff: noqa: RUF001 (a full-width number sign)
from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.posts import Post, Record, RecordRef, Rejection, Skipped, Withdrawal
from worker.posts.formats import FORMATS, Decoded
from worker.posts.formats.bluesky import BLUESKY, COLLECTION, SKIPS
from worker.posts.rejections import REASONS
from worker.posts.traces import concerns, traces

REF = RecordRef("firehose", UUID(int=7), 3, 42)
NOW_MS = 1_700_000_000_000  # 2023-11-14T22:13:20Z
SEEN = datetime(2023, 11, 14, 22, 13, 19, 123_456, tzinfo=UTC)
TIME_US = 1_699_999_999_123_456
DID = "did:plc:ewvi7nxzyoun6zhxrhs64oiz"
RKEY = "3ke5tq2x7ls2h"
URI = f"at://{DID}/{COLLECTION}/{RKEY}"
POST: dict[str, Any] = {
    "$type": COLLECTION,
    "text": "the ferry leaves at dawn",
    "createdAt": "2023-11-14T22:13:18.000Z",
    "langs": ["en"],
}
COMMIT: dict[str, Any] = {
    "rev": "3ke5tq2xd5k2h",
    "operation": "create",
    "collection": COLLECTION,
    "rkey": RKEY,
    "record": POST,
    "cid": "bafyreidwaivazkwu67xztlmuobx35hs2lnfh3kolmgfmucldvhd3sgzcqi",
}
EVENT: dict[str, Any] = {"did": DID, "time_us": TIME_US, "kind": "commit", "commit": COMMIT}
WITHOUT = object()

any_text = st.text(alphabet=st.characters())  # surrogates and NUL too
any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | any_text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(any_text, inner, max_size=3),
    max_leaves=8,
)


def like(known: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """`known` with any of its fields as it is, of any other kind, or missing."""
    return st.fixed_dictionaries(
        {}, optional={name: st.just(value) | any_json for name, value in known.items()}
    )


events = like(EVENT) | st.builds(
    lambda event, commit, post: EVENT | event | {"commit": COMMIT | commit | {"record": post}},
    like({"did": DID, "time_us": TIME_US, "kind": "commit"}),
    like({name: value for name, value in COMMIT.items() if name != "record"}),
    like({**POST, "facets": [], "tags": []}) | any_json,
)


def patched(known: dict[str, Any], fields: dict[str, object]) -> dict[str, Any]:
    return {name: value for name, value in (known | fields).items() if value is not WITHOUT}


def decode(
    value: object, *, key: bytes | None = None, timestamp_ms: int = NOW_MS
) -> Post | Withdrawal | Rejection | Skipped:
    raw = value if isinstance(value, bytes) or value is None else json.dumps(value).encode()
    return BLUESKY.decode(Record(REF, timestamp_ms, key, raw))


def event(commit: dict[str, object] | None = None, /, **fields: object) -> dict[str, Any]:
    return patched(EVENT, {"commit": patched(COMMIT, commit or {}), **fields})


def post(commit: dict[str, object] | None = None, /, **fields: object) -> Post:
    decoded = decode(event({"record": patched(POST, fields), **(commit or {})}))
    assert isinstance(decoded, Post), decoded
    return decoded


def rejection(value: object, **options: Any) -> Rejection:
    decoded = decode(value, **options)
    assert isinstance(decoded, Rejection), decoded
    return decoded


def is_sound(decoded: Decoded) -> None:
    assert decoded.ref == REF
    strings: list[str] = []
    match decoded:
        case Skipped():
            assert decoded.event in dict(SKIPS)
        case Rejection():
            assert decoded.reason in REASONS
            assert decoded.detail.endswith(".")
            strings += [decoded.detail]
        case _:
            assert decoded.platform == "bluesky"
            assert 1 <= len(decoded.post_id) <= 256
            strings += [decoded.post_id, decoded.author_id or ""]
    if isinstance(decoded, Post):
        assert len(decoded.text) <= 20_000
        strings += [decoded.text, decoded.lang or "", *decoded.hashtags]
        assert len(decoded.hashtags) <= 10
        assert datetime(2000, 1, 1, tzinfo=UTC) <= decoded.created_at <= decoded.version
        latest = datetime.fromtimestamp(NOW_MS / 1_000, UTC) + timedelta(hours=1)
        assert decoded.version <= latest
    for string in strings:
        assert "\0" not in string
        string.encode()


@given(st.binary(), st.none() | st.binary())
def test_any_bytes_are_one_thing_and_always_the_same(value: bytes, key: bytes | None) -> None:
    for one in (value, None):
        decoded = decode(one, key=key)
        is_sound(decoded)
        assert decode(one, key=key) == decoded


@given(events | any_json)
def test_any_event_is_one_thing_and_always_the_same(value: Any) -> None:
    decoded = decode(value)
    is_sound(decoded)
    assert decode(value) == decoded


@given(events)
def test_what_is_rejected_names_no_value(value: Any) -> None:
    decoded = decode(value)
    if isinstance(decoded, Rejection):
        assert DID not in decoded.detail
        assert POST["text"] not in decoded.detail


def test_a_new_post() -> None:
    assert decode(EVENT) == Post(
        ref=REF,
        platform="bluesky",
        post_id=URI,
        text="the ferry leaves at dawn",
        created_at=datetime(2023, 11, 14, 22, 13, 18, tzinfo=UTC),
        version=datetime(2023, 11, 14, 22, 13, 18, tzinfo=UTC),
        lang="en",
        author_id=DID,
        hashtags=(),
    )


def test_an_edit_is_a_later_version_of_the_same_post() -> None:
    edited = post({"operation": "update"}, text="the ferry leaves at noon")
    assert (edited.post_id, edited.text) == (URI, "the ferry leaves at noon")
    assert edited.created_at == post().created_at
    assert edited.version == SEEN > post().version


def test_a_deletion_withdraws_it() -> None:
    gone = event({"operation": "delete", "record": WITHOUT, "cid": WITHOUT})
    assert decode(gone) == Withdrawal(REF, "bluesky", URI, DID)
    # Nothing of a deletion is about time.
    assert decode({**gone, "time_us": 0}) == Withdrawal(REF, "bluesky", URI, DID)


@pytest.mark.parametrize("prefix", ["", "bluesky:"])
def test_so_does_a_tombstone_with_its_uri(prefix: str) -> None:
    assert decode(None, key=(prefix + URI).encode()) == Withdrawal(REF, "bluesky", URI, DID)


@pytest.mark.parametrize(
    "key", [None, b"", b"\xff", DID.encode(), URI.replace("post", "like").encode(), b"post:1"]
)
def test_other_null_values_are_rejected(key: bytes | None) -> None:
    assert rejection(None, key=key).reason == "null_value"


def other(kind: str, **body: object) -> dict[str, Any]:
    return {"did": DID, "time_us": TIME_US, "kind": kind, **body}


@pytest.mark.parametrize(
    ("skipped", "value"),
    [
        (
            "account",
            other("account", account={"active": False, "did": DID, "seq": 5, "status": "deleted"}),
        ),
        ("identity", other("identity", identity={"did": DID, "handle": "me.example", "seq": 6})),
        ("other_event", other("sync")),
        (
            "other_record",
            event(
                {
                    "collection": "app.bsky.feed.like",
                    "record": {
                        "$type": "app.bsky.feed.like",
                        "createdAt": "2023-11-14T22:13:18.000Z",
                        "subject": {"cid": "bafy", "uri": URI},
                    },
                }
            ),
        ),
        ("other_record", event({"collection": "app.bsky.graph.follow", "operation": "delete"})),
        ("other_record", event({"collection": "app.bsky.feed.repost", "record": {"text": 5}})),
        ("other_record", event({"collection": "app.bsky.feed.postgate"})),
    ],
)
def test_what_is_none_of_a_posts_business_is_skipped(skipped: str, value: object) -> None:
    assert decode(value) == Skipped(REF, skipped)


def test_every_skip_and_reason_is_in_the_reference() -> None:
    page = Path(__file__).parents[4].joinpath("docs/reference/formats.md").read_text()
    for name in FORMATS:
        assert f"\n## {name}\n" in page
    for skipped, _ in SKIPS:
        assert f"| `{skipped}` |" in page


@pytest.mark.parametrize(
    ("claimed", "created"),
    [
        # ahead of the server's clock: posted when it was seen
        ("2023-11-14T22:13:19.123456Z", SEEN),
        ("2023-11-14T22:13:19.123457Z", SEEN),
        ("2031-01-01T00:00:00Z", SEEN),
        # behind: an import, or an unset clock; nobody can tell
        ("2016-05-01T12:00:00.000+02:00", datetime(2016, 5, 1, 10, tzinfo=UTC)),
    ],
)
def test_a_clients_clock_is_never_ahead_of_the_servers(claimed: str, created: datetime) -> None:
    assert post(createdAt=claimed).created_at == created
    assert post(createdAt=claimed).version == created


@pytest.mark.parametrize(
    ("langs", "lang"),
    [
        (["pt-br", "en"], "pt-BR"),
        (["", "und", 5, "xx_yy", "de"], "de"),
        (["x" * 40], None),
        ([], None),
        (WITHOUT, None),
        ("en", None),
        ({"en": 1}, None),
    ],
)
def test_the_first_usable_language_counts(langs: object, lang: str | None) -> None:
    assert post(langs=langs).lang == lang


def tag(name: object, kind: str = "tag") -> dict[str, Any]:
    feature = {"$type": f"app.bsky.richtext.facet#{kind}", "tag": name}
    return {"index": {"byteStart": 0, "byteEnd": 4}, "features": [feature]}


@pytest.mark.parametrize(
    ("fields", "hashtags"),
    [
        ({"facets": [tag("Ferry"), tag("Dawn")], "tags": ["dawn", "Ocean"]},
         ("ferry", "dawn", "ocean")),
        ({"text": "#one #two", "facets": [tag("two")]}, ("two",)),
        ({"text": "#one", "facets": [tag("x", "mention")]}, ()),
        ({"text": "#one", "tags": []}, ()),
        ({"text": "#One is ＃two"}, ("one", "two")),
        ({"text": "#one", "facets": "none"}, ("one",)),
        ({"facets": [5, {}, {"features": 5}, {"features": [5]}, tag(5), tag("ok")]}, ("ok",)),
        ({"tags": [5, None, "ok", "\0", "x" * 101]}, ("ok",)),
    ],
)  # fmt: skip
def test_hashtags_are_those_that_the_client_marked(
    fields: dict[str, object], hashtags: tuple[str, ...]
) -> None:
    assert post(**fields).hashtags == hashtags


def test_replies_and_pictures_without_a_word_are_posts() -> None:
    parent = {"cid": "bafy", "uri": URI}
    assert post(reply={"root": parent, "parent": parent}).text == POST["text"]
    picture = {"$type": "app.bsky.embed.images", "images": [{"alt": "a ferry", "image": {}}]}
    assert post(text="", embed=picture).text == ""


def test_what_no_database_stores_is_removed() -> None:
    raw = json.dumps(event({"record": {**POST, "text": "a\0b\ud800c"}})).encode()
    decoded = decode(raw)
    assert isinstance(decoded, Post)
    assert decoded.text == "abc"


LONG = "did:web:" + "a" * 240


@pytest.mark.parametrize(
    ("reason", "value"),
    [
        ("bad_utf8", b'{"did": "\xff"}'),
        ("bad_json", b'{"did": '),
        ("not_object", []),
        ("not_object", "commit"),
        ("missing_field", {}),
        ("missing_field", patched(EVENT, {"did": WITHOUT})),
        ("missing_field", patched(EVENT, {"time_us": WITHOUT})),
        ("missing_field", patched(EVENT, {"kind": WITHOUT})),
        ("missing_field", patched(EVENT, {"commit": WITHOUT})),
        ("missing_field", event({"collection": WITHOUT})),
        ("missing_field", event({"record": WITHOUT})),
        ("missing_field", event({"record": None})),
        ("missing_field", event({"record": {"text": "x"}})),
        ("wrong_type", event(did=5)),
        ("wrong_type", event(time_us="5")),
        ("wrong_type", event(time_us=5.5)),
        ("wrong_type", event(time_us=True)),
        ("wrong_type", event(commit=[])),
        ("wrong_type", event({"rkey": 5})),
        ("wrong_type", event({"record": []})),
        ("wrong_type", event({"record": {**POST, "text": 5}})),
        ("wrong_type", event({"record": {**POST, "createdAt": 5}})),
        ("bad_event", event({"operation": "undo"})),
        ("bad_id", event(did="plc:x")),
        ("bad_id", event(did=LONG)),
        ("bad_id", event({"rkey": ""})),
        ("bad_id", event({"rkey": ".."})),
        ("bad_id", event({"rkey": "a/b"})),
        ("bad_id", event({"rkey": "a" * 250})),
        ("bad_id", event({"rkey": "a/b", "operation": "delete"})),
        ("text_too_long", event({"record": {**POST, "text": "x" * 20_001}})),
        ("bad_time", event({"record": {**POST, "createdAt": "yesterday"}})),
        ("naive_time", event({"record": {**POST, "createdAt": "2023-11-14T22:13:18"}})),
        ("old_time", event({"record": {**POST, "createdAt": "1970-01-01T00:00:00Z"}})),
        ("old_time", event(time_us=5)),
        ("bad_time", event(time_us=10**30)),
        ("future_time", event(time_us=TIME_US + 3_700_000_000)),
        # our own post is no event
        ("missing_field", {"id": "1", "text": "x", "created_at": "2023-11-14T22:00:00Z"}),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_rejected(reason: str, value: object) -> None:
    rejected = rejection(value)
    assert rejected.reason == reason, rejected
    is_sound(rejected)


def test_a_record_without_a_timestamp_says_nothing_of_the_servers_clock() -> None:
    assert isinstance(decode(event(time_us=TIME_US + 3_700_000_000), timestamp_ms=-1), Post)


# Whose a rejected event may be

BROKEN = event({"record": {**POST, "createdAt": "yesterday"}})
IDENTITY = ("bluesky", URI)


@pytest.mark.parametrize(
    "value",
    [
        json.dumps(BROKEN).encode(),
        json.dumps(BROKEN).encode()[:-20],
        json.dumps({"payload": json.dumps(BROKEN)}).encode(),
        json.dumps(BROKEN, indent=1).encode("utf-16-le"),
        json.dumps(BROKEN).encode() + b"\xff",
    ],
    ids=["whole", "cut", "wrapped", "utf-16", "not-utf-8"],
)
def test_a_rejected_event_is_found_by_post_and_author(value: bytes) -> None:
    found = traces("firehose", None, value)
    assert IDENTITY in found.posts
    assert DID in found.names
    for topic in ("firehose", "elsewhere"):
        assert concerns((topic, None, value), {IDENTITY}, ())
        assert concerns((topic, None, value), (), {DID})
        assert not concerns((topic, None, value), {("bluesky", URI + "x")}, {DID + "x"})


@given(st.text() | st.text(alphabet='rkey":=\\did:plcabc ', max_size=400))
def test_looking_for_them_never_raises(text: str) -> None:
    for trace in BLUESKY.traces(text):
        assert trace.post_id.startswith("at://did:")
