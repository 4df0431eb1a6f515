# ruff: noqa: RUF001 (hashtags of many scripts)

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from worker.posts import Post, Record, RecordRef, Rejection, Withdrawal
from worker.posts.decode import MAX_ID_CHARS, MAX_PLATFORM_CHARS, MAX_TEXT_CHARS, decode
from worker.posts.rejections import REASONS

REF = RecordRef("posts", UUID(int=7), 3, 42)
NOW_MS = 1_700_000_000_000  # 2023-11-14T22:13:20Z: the records' own timestamp
NOW = datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)
PLAIN: dict[str, Any] = {"id": "1", "text": "hello", "created_at": "2023-11-14T22:00:00Z"}
WITHOUT = object()

any_text = st.text(alphabet=st.characters())  # surrogates and NUL too
any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | any_text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(any_text, inner, max_size=3),
    max_leaves=8,
)
FIELDS = (
    "id", "text", "created_at", "platform", "lang", "author_id", "hashtags", "edited_at", "deleted",
)  # fmt: skip


def record(value: object, *, key: bytes | None = None, timestamp_ms: int = NOW_MS) -> Record:
    raw = value if isinstance(value, bytes) or value is None else json.dumps(value).encode()
    return Record(REF, timestamp_ms, key, raw)


def message(**fields: object) -> dict[str, Any]:
    return {name: value for name, value in (PLAIN | fields).items() if value is not WITHOUT}


def post(value: object = None, **fields: object) -> Post:
    decoded = decode(record(message(**fields) if value is None else value))
    assert isinstance(decoded, Post), decoded
    return decoded


def rejection(value: object, **options: Any) -> Rejection:
    decoded = decode(record(value, **options))
    assert isinstance(decoded, Rejection), decoded
    return decoded


def strings(decoded: Post | Withdrawal | Rejection) -> list[str]:
    if isinstance(decoded, Rejection):
        return [decoded.reason, decoded.detail, decoded.fingerprint]
    found = [decoded.platform, decoded.post_id, decoded.author_id or ""]
    if isinstance(decoded, Post):
        found += [decoded.text, decoded.lang or "", *decoded.hashtags]
    return found


def is_sound(decoded: Post | Withdrawal | Rejection) -> None:
    """Checks whatever holds of anything decoded."""
    assert decoded.ref == REF
    for string in strings(decoded):
        assert "\0" not in string
        string.encode("utf-8")  # a surrogate would not encode
    if isinstance(decoded, Rejection):
        assert decoded.reason in REASONS
        assert len(decoded.fingerprint) == 16
        return
    assert 1 <= len(decoded.post_id) <= MAX_ID_CHARS
    assert 1 <= len(decoded.platform) <= MAX_PLATFORM_CHARS
    assert ":" not in decoded.platform
    if isinstance(decoded, Post):
        assert len(decoded.text) <= MAX_TEXT_CHARS
        assert len(set(decoded.hashtags)) == len(decoded.hashtags) <= 10
        for tag in decoded.hashtags:
            assert 1 <= len(tag) <= 100
            assert tag == tag.casefold().strip()
            assert not tag.startswith("#")
        for time in (decoded.created_at, decoded.version):
            assert time.tzinfo is UTC
            assert datetime(2000, 1, 1, tzinfo=UTC) <= time <= NOW + timedelta(hours=1)


@given(st.binary(), st.none() | st.binary())
def test_any_bytes_are_decoded(value: bytes, key: bytes | None) -> None:
    is_sound(decode(record(value, key=key)))
    is_sound(decode(record(None, key=key)))


@given(any_json)
def test_any_json_is_decoded(value: Any) -> None:
    is_sound(decode(record(json.dumps(value).encode())))


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(FIELDS, any_json)), st.booleans())
def test_any_json_in_any_field_is_decoded_and_purely_so(fields: Any, whole: bool) -> None:
    value = record(PLAIN | fields if whole else fields)
    decoded = decode(value)
    is_sound(decoded)
    assert decode(value) == decoded


@given(st.sampled_from(FIELDS), any_json)
def test_one_odd_field_leaves_a_post_or_a_rejection_that_names_it(field: str, value: Any) -> None:
    decoded = decode(record(message(**{field: value})))
    is_sound(decoded)
    if isinstance(decoded, Rejection):
        assert f"`{field}`" in decoded.detail


valid_time = st.datetimes(
    # the strategy adds the zone
    datetime(2000, 1, 2),  # noqa: DTZ001
    datetime(2023, 11, 14),  # noqa: DTZ001
    timezones=st.integers(-1439, 1439).map(lambda m: timezone(timedelta(minutes=m))),
)


@given(
    st.fixed_dictionaries(
        {
            "id": st.text(min_size=1, max_size=MAX_ID_CHARS),
            "text": st.text(max_size=300),
            "created_at": valid_time,
            "edited_at": st.none() | valid_time,
            "platform": st.text(
                st.characters(exclude_characters=":", codec="utf-8"),
                min_size=1,
                max_size=MAX_PLATFORM_CHARS,
            ),
            "author_id": st.none() | st.text(min_size=1, max_size=256),
            "lang": st.sampled_from([None, "en", "pt-BR", "zh-Hant-TW"]),
        }
    ),
    st.booleans(),
)
def test_valid_posts_come_through(sent: dict[str, Any], ascii_only: bool) -> None:
    kept = {k: v.replace("\0", "") if isinstance(v, str) else v for k, v in sent.items()}
    assume(kept["id"] and kept["platform"])
    raw = json.dumps(sent | {"x": {"y": [1]}}, ensure_ascii=ascii_only, default=str).encode()
    got = decode(record(raw))
    assert isinstance(got, Post)
    assert replace(got, hashtags=()) == Post(
        ref=REF,
        platform=kept["platform"],
        post_id=kept["id"],
        text=kept["text"],
        created_at=sent["created_at"],
        version=sent["edited_at"] or sent["created_at"],
        lang=sent["lang"],
        author_id=kept["author_id"] or None,
        hashtags=(),
    )


DEEP = b"[" * 100_000 + b"]" * 100_000
REJECTED: list[tuple[str, object]] = [
    ("bad_utf8", b'{"id": "\xff"}'),
    ("bad_utf8", b"\xff\xfe{}"),
    ("bad_utf8", b'{"id": "\xed\xa0\x80"}'),  # a surrogate in UTF-8's form is not UTF-8
    ("bad_json", b""),
    ("bad_json", b"{"),
    ("bad_json", b"hello"),
    ("bad_json", b'{"id": "1",}'),
    ("bad_json", b"{'id': 1}"),
    ("bad_json", b'{"id": "a\nb"}'),
    ("bad_json", b'{\\ud800"id": "1"}'),
    ("bad_json", b'{"id": "\\ud800", '),
    ("bad_json", DEEP),
    ("bad_json", b'{"id": "\\ud800", "x": ' + DEEP + b"}"),
    ("bad_json", b'{"id": "1", "x": ' + b"9" * 5_000 + b"}"),
    ("not_object", []),
    ("not_object", b"null"),
    ("not_object", 5),
    ("not_object", "\ud800"),
    ("missing_field", {}),
    ("missing_field", message(id=WITHOUT)),
    ("missing_field", message(id=None)),
    ("missing_field", message(text=WITHOUT)),
    ("missing_field", message(created_at=None)),
    ("missing_field", {"deleted": True}),
    ("missing_field", message(deleted=False, text=None)),
    ("wrong_type", message(id=1)),
    ("wrong_type", message(id=True)),
    ("wrong_type", message(text=["hello"])),
    ("wrong_type", message(created_at=True)),
    ("wrong_type", message(created_at={})),
    ("wrong_type", message(platform=1)),
    ("wrong_type", message(lang=[])),
    ("wrong_type", message(author_id=12)),
    ("wrong_type", message(hashtags="a b")),
    ("wrong_type", message(hashtags=["a", None])),
    ("wrong_type", message(deleted="true")),
    ("wrong_type", message(deleted=1)),
    ("wrong_type", {"id": 1, "deleted": True}),
    ("wrong_type", {"id": "1", "deleted": True, "platform": 1}),
    ("bad_id", message(id="")),
    ("bad_id", message(id="\0\ud800")),
    ("bad_id", message(id="x" * 257)),
    ("bad_platform", message(platform="a:b")),
    ("bad_platform", message(platform="")),
    ("bad_platform", message(platform="x" * 257)),
    ("bad_platform", {"id": "1", "deleted": True, "platform": ":"}),
    ("text_too_long", message(text="x" * 20_001)),
    ("text_too_long", message(text="x" * 5_000_000)),
    ("bad_time", message(created_at="")),
    ("bad_time", message(created_at="yesterday")),
    ("bad_time", message(created_at="1700000000")),
    ("bad_time", message(created_at="2023-11-14")),
    ("bad_time", message(created_at="20231114T220000Z")),
    ("bad_time", message(created_at="2023-11-14T22:00Z")),
    ("bad_time", message(created_at="2023-11-14T22:00:00 Z")),
    ("bad_time", message(created_at="2023-11-14T22:00:00+0100")),
    ("bad_time", message(created_at="2023-11-14T22:00:00+24:00")),
    ("bad_time", message(created_at="2023-11-14T24:00:00Z")),
    ("bad_time", message(created_at="2023-02-30T22:00:00Z")),
    ("bad_time", message(created_at="2016-12-31T12:00:60Z")),
    ("bad_time", message(created_at="0001-01-01T00:00:00+23:00")),
    ("bad_time", message(created_at="２023-11-14T22:00:00Z")),
    ("bad_time", message(created_at=float("nan"))),
    ("bad_time", message(created_at=float("inf"))),
    ("bad_time", message(created_at=10**4_000)),
    ("bad_time", message(created_at=1_700_000_000_000_000)),  # microseconds
    ("naive_time", message(created_at="2023-11-14T22:00:00")),
    ("naive_time", message(edited_at="2023-11-14 22:00:00.5")),
    ("old_time", message(created_at="1999-12-31T23:59:59.999999Z")),
    ("old_time", message(created_at=0)),
    ("old_time", message(edited_at=-5.5)),
    ("future_time", message(created_at="2023-11-14T23:13:20.000001Z")),
    ("future_time", message(edited_at="2023-11-15T00:00:00Z")),
    ("bad_lang", message(lang="english language")),
    ("bad_lang", message(lang="en_US")),
    ("bad_lang", message(lang="e")),
    ("bad_lang", message(lang="en-")),
    ("bad_lang", message(lang="en-x-" + "abcdefgh-" * 4 + "a")),
    ("bad_lang", message(lang="\u212an")),  # the Kelvin sign's lower case is k
    ("bad_author_id", message(author_id="x" * 257)),
]
NULL_VALUES = [None, b"", b"1", b":1", b"twitter:", b"\xff:1", b"\0:1", b"x" * 257 + b":1"]


@pytest.mark.parametrize(("reason", "value"), REJECTED)
def test_what_does_not_fit_is_rejected(reason: str, value: object) -> None:
    rejected = rejection(value)
    assert rejected.reason == reason
    assert rejected.detail.endswith(".")
    is_sound(rejected)


@pytest.mark.parametrize("key", NULL_VALUES)
def test_a_null_value_with_another_key_is_rejected(key: bytes | None) -> None:
    assert rejection(None, key=key).reason == "null_value"


def test_every_reason_has_an_example_and_an_entry_in_the_reference() -> None:
    others = {"bad_event", "not_a_post"}  # of other formats
    assert {reason for reason, _ in REJECTED} | {"null_value"} == set(REASONS) - others
    page = Path(__file__).parents[3].joinpath("docs/reference/post.md").read_text()
    for reason in REASONS:
        assert f"| `{reason}` |" in page


def test_a_fingerprint_tells_causes_apart_and_nothing_else() -> None:
    def fingerprint(**fields: object) -> str:
        return rejection(message(**fields)).fingerprint

    assert fingerprint(id=1) == fingerprint(id=[2]) == fingerprint(id=3, text="other")
    assert fingerprint(id=1) != fingerprint(text=1)
    assert fingerprint(created_at=0) != fingerprint(edited_at=0)
    assert fingerprint(created_at=0) != fingerprint(created_at="")
    assert rejection(b'{"id"}').fingerprint == rejection(b'{"a": 1, "id"}').fingerprint
    assert rejection(b'{"id"}').fingerprint != rejection(b'{"id": "').fingerprint


@pytest.mark.parametrize(
    "value",
    [
        b"zqxj",
        b'{"id": "zqxj", "zqxj": zqxj}',
        b'{"id": "zqxj\xff"}',
        '"zqxj"',
        message(id=["zqxj"]),
        message(id="zqxj" * 100),
        message(text="zqxj" * 6_000),
        message(platform=":zqxj"),
        message(created_at="zqxj"),
        message(lang="zqxj zqxj"),
        message(author_id="zqxj" * 100),
        message(hashtags=["zqxj", 1]),
        message(deleted="zqxj"),
        None,
    ],
)
def test_a_detail_never_quotes_the_record(value: object) -> None:
    assert "zqxj" not in rejection(value, key=b"zqxj").detail


@pytest.mark.parametrize(
    ("given_time", "expected"),
    [
        ("2023-11-14T22:00:00Z", "2023-11-14T22:00:00"),
        ("2023-11-14t22:00:00z", "2023-11-14T22:00:00"),
        ("2023-11-14 22:00:00-00:00", "2023-11-14T22:00:00"),
        ("2023-11-15T01:30:00+03:30", "2023-11-14T22:00:00"),
        ("2023-11-14T22:00:00.1Z", "2023-11-14T22:00:00.100000"),
        ("2023-11-14T22:00:00.123456999999Z", "2023-11-14T22:00:00.123456"),
        ("2016-12-31T23:59:60Z", "2016-12-31T23:59:59.999999"),
        ("2016-12-31T18:59:60.5-05:00", "2016-12-31T23:59:59.999999"),
        ("2000-01-01T00:00:00Z", "2000-01-01T00:00:00"),
        ("2023-11-14T23:13:20Z", "2023-11-14T23:13:20"),  # an hour ahead, and no more
        (1_699_999_200, "2023-11-14T22:00:00"),
        (1_699_999_200_000, "2023-11-14T22:00:00"),
        (1_699_999_200.25, "2023-11-14T22:00:00.250000"),
        (1_699_999_200_250.0, "2023-11-14T22:00:00.250000"),
        (946_684_800, "2000-01-01T00:00:00"),
    ],
)
def test_times(given_time: object, expected: str) -> None:
    got = post(created_at=given_time)
    assert got.created_at == datetime.fromisoformat(expected).replace(tzinfo=UTC)
    assert got.created_at.tzinfo is UTC


def test_the_version_is_the_edit_even_one_before_the_creation() -> None:
    assert post(edited_at="2023-11-14T22:05:00Z").version == NOW.replace(minute=5, second=0)
    assert post(edited_at=946_684_800).version == datetime(2000, 1, 1, tzinfo=UTC)


def test_the_future_is_after_the_record_whatever_the_clock_says() -> None:
    far = message(created_at="9000-01-01T00:00:00Z")
    assert rejection(far).reason == "future_time"
    stamped = decode(record(far, timestamp_ms=221_845_392_000_000))  # 9000-01-01
    assert isinstance(stamped, Post)
    assert isinstance(decode(record(far, timestamp_ms=2**63 - 1)), Post)
    assert isinstance(decode(record(far, timestamp_ms=-1)), Post)


def test_characters_that_no_database_takes_are_removed() -> None:
    odd = {
        "id": "\0a\ud800", "platform": "p\0\udfff", "text": "x\0y\ud83d\ude00\ud83d.\\ud800",
        "created_at": 1_699_999_200, "author_id": "\udc00z", "lang": "e\0n",
        "hashtags": ["\0", "T\ud800ag"],
    }  # fmt: skip
    got = post(odd)
    assert (got.post_id, got.platform, got.author_id, got.lang) == ("a", "p", "z", "en")
    assert got.text == "xy\U0001f600.\\ud800"
    assert got.hashtags == ("tag",)


@given(st.text(st.sampled_from('\\"u\0dD8cC0aé\ud83d\ude00\udc00\U0001f600')))
@example("\\\ud800")
@example("\\\\\ud83d")
@example("\ude00\ud83d")
def test_lone_surrogates_are_found_as_another_parser_finds_them(text: str) -> None:
    raw = json.dumps(message(text=text))
    expected = "".join(
        char
        for char in json.loads(raw)["text"]
        if char != "\0" and not "\ud800" <= char <= "\udfff"
    )
    assert post(raw.encode()).text == expected


def test_lengths_count_characters_after_removal() -> None:
    assert len(post(id="\U0001f600" * 256 + "\0").post_id) == 256
    assert len(post(text="\U0001f600" * 20_000 + "\ud800").text) == 20_000
    assert post(text="").text == ""


@pytest.mark.parametrize("name", sorted(set(FIELDS) - {"id", "text", "created_at"}))
def test_null_is_absent(name: str) -> None:
    assert post(**{name: None}) == post()


def test_defaults_and_leniencies() -> None:
    plain = post()
    assert plain == Post(
        REF, "posts", "1", "hello", plain.created_at, plain.created_at, None, None, ()
    )
    assert post(unknown={"deep": [1, {"x": None}]}, nan=float("nan")) == plain
    assert post(b"\xef\xbb\xbf" + json.dumps(PLAIN).encode()) == plain
    assert post(b'{"id": 5, ' + json.dumps(PLAIN).encode()[1:]) == plain  # the last one counts
    assert post(author_id="").author_id is None


@pytest.mark.parametrize(
    ("tag", "expected"),
    [
        ("en", "en"),
        ("EN", "en"),
        ("PT-br", "pt-BR"),
        ("zh-hant-tw", "zh-Hant-TW"),
        ("es-419", "es-419"),
        ("sl-ROZAJ-biske-1994", "sl-rozaj-biske-1994"),
        ("en-US-U-CO-PHONEBK", "en-US-u-co-phonebk"),
        ("x-Whatever", "x-whatever"),
        ("I-Klingon", "i-klingon"),
        ("und", None),
        ("UND-Latn", None),
        ("", None),
    ],
)
def test_languages(tag: str, expected: str | None) -> None:
    assert post(lang=tag).lang == expected


def test_given_hashtags() -> None:
    assert post(hashtags=["#Tag", "tag", "##TAG", " Straße ", "＃x", "#", "", "1"]).hashtags == (
        "tag", "strasse", "x", "1",
    )  # fmt: skip
    assert post(hashtags=[], text="#a").hashtags == ()
    assert post(hashtags=["x" * 101, "ß" * 51, "y" * 100]).hashtags == ("y" * 100,)
    many = [f"t{number // 2}" for number in range(40)]
    assert post(hashtags=many).hashtags == tuple(f"t{number}" for number in range(10))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Now #Launch and #LAUNCH, #launch_day!", ["launch", "launch_day"]),
        ("#1 #2024 #_ #1st #", ["1st"]),
        ("a#b &#39; &#x27; c", []),
        ("#a#b", ["a"]),
        ("#a/#b (#c) '#d'", ["a", "b", "c", "d"]),
        ("https://example.org/#part HTTP://EXAMPLE.ORG/x#y #z", ["z"]),
        ("#été #東京 ＃全角 #हिन्दी #Ünal", ["été", "東京", "全角", "हिन्दी", "ünal"]),
        ("#می\u200cخواهم\u200c", ["می\u200cخواهم"]),
        ("#wow\U0001f600 #\U0001f600 #it’s", ["wow", "it"]),
        ("कि#no", []),
        ("#" + "x" * 101 + " #" + "y" * 100, ["y" * 100]),
        ("\n".join(f"#t{number}" for number in range(12)), [f"t{number}" for number in range(10)]),
    ],
)
def test_hashtags_of_the_text(text: str, expected: list[str]) -> None:
    assert post(text=text).hashtags == tuple(expected)


@given(st.text(st.sampled_from("# aB1_é&/ß\u200cि\n＃") | st.characters(), max_size=200))
def test_hashtags_of_any_text(text: str) -> None:
    got = post(text=text)
    is_sound(got)
    folded = got.text.casefold()
    for tag in got.hashtags:
        assert f"#{tag}" in folded or f"＃{tag}" in folded
        assert not any(char.isspace() for char in tag)


def test_deleted_needs_the_identity_alone() -> None:
    withdrawn = Withdrawal(REF, "posts", "1")
    assert decode(record({"id": "1", "deleted": True})) == withdrawn
    odd: dict[str, Any] = {"text": 5, "created_at": [], "lang": "?", "hashtags": 1, "edited_at": {}}
    assert decode(record({"id": "1", "deleted": True, **odd})) == withdrawn
    assert decode(record({"id": "1", "deleted": True, "author_id": 5, "text": "\ud800"})) == (
        withdrawn
    )
    assert decode(
        record({"id": "\x001", "deleted": True, "platform": "x", "author_id": "a\0"})
    ) == (Withdrawal(REF, "x", "1", "a"))
    assert isinstance(decode(record(message(deleted=False))), Post)


@pytest.mark.parametrize(
    ("key", "platform", "post_id"),
    [
        (b"twitter:1", "twitter", "1"),
        (b"twitter:a:b:", "twitter", "a:b:"),
        (b"t\0witter:\x001", "twitter", "1"),
        ("é:\U0001f600".encode(), "é", "\U0001f600"),
    ],
)
def test_a_tombstone_withdraws_by_its_key(key: bytes, platform: str, post_id: str) -> None:
    assert decode(record(None, key=key)) == Withdrawal(REF, platform, post_id)
