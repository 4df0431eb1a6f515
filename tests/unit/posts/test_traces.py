"""Whose a rejected record may be."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.posts.traces import MAX_NAMES, MAX_PLATFORMS, concerns, traces

POST = ("tw", "1234")
INNER = '{"id": "1234", "platform": "tw", "author_id": "alice"}'


@pytest.mark.parametrize(
    "value",
    [
        b'{"id": "1234", "platform": "tw", "author_id": "alice", "text": 5}',
        b'{"id": 1234, "platform": "tw", "author_id": "alice"}',
        b'{"id": 1234.0, "platform": "tw", "author_id": ["alice"]}',
        b'{"id": ["1234"], "platform": "tw", "author_id": "alice"}',
        b'{"id": "\\u0031234", "platform": "t\\u0077", "author_id": "\\u0061lice"}',
        b'{"id": "x", "id": "1234", "platform": "tw", "author_id": "b", "author_id": "alice"}',
        b'{"platform": "tw", "id": "1234", "author_id": "alice", "text": "cut sh',
        b'{"platform": "tw", "id": "\\u0031234", "author_id": "\\u0061lice", "text": "cut sh',
        b'\xef\xbb\xbf{"id": "1234", "platform": "tw", "author_id": "alice"}',
        b'[{"id": "1234", "platform": "tw", "author_id": "alice"}]',
        b'{"post": {"id": "1234", "platform": "tw"}, "user": {"id": "alice"}}',
        b'{"post_id": "1234", "user": {"id": "alice"}, "body": "what a day"}',
        b'{"id": "12\\u000034", "platform": "tw", "author_id": "al\\u0000ice"}',
        b'{"id": "1234", "platform": "tw", "author_id": "alice", "text": "\xff\xfe"}',
        b"1234,alice,what a day",
        b"<post id='1234' author='alice'>",
        json.dumps(INNER).encode(),
        json.dumps({"payload": INNER}).encode(),
        json.dumps({"payload": json.dumps({"payload": INNER})}).encode(),
        json.dumps({"payload": INNER}).encode()[:-2],
        INNER.encode("utf-16"),
        INNER.encode("utf-16-be"),
        INNER.replace("alice", "alice\u00e9").replace("alice\u00e9", "alice").encode("latin-1"),
    ],
)
def test_a_post_and_its_author_are_found_in_what_is_left_of_a_record(value: bytes) -> None:
    assert concerns(("other", None, value), {POST}, ())
    assert concerns(("other", None, value), (), {"alice"})


def test_a_latin_name() -> None:
    assert concerns(("t", None, "id=5;author=r\u00e9ne;".encode("latin-1")), (), {"r\u00e9ne"})


@pytest.mark.parametrize("key", [b"tw:1234", b"1234", b"alice 1234"])
def test_the_key_counts_too(key: bytes) -> None:
    assert concerns(("other", key, None), {POST}, ())
    assert concerns(("other", b"alice", b"{"), (), {"alice"})


@pytest.mark.parametrize("post_id", ["abc/def==", "a b c d", "\U0001f600" * 6, "1234567"])
def test_a_telling_name_is_found_anywhere(post_id: str) -> None:
    for value in (
        json.dumps({"id": post_id, "text": "my secr"})[:-4],
        json.dumps({"message": f"id={post_id}; text=what a day"}),
        f"id={post_id}_x",
    ):
        assert concerns(("tw", None, value.encode()), {("tw", post_id)}, ()), value
        assert not concerns(("tw", None, value.encode()), {("tw", post_id + "9")}, ())


def test_the_writer_finds_what_the_decoder_would_have() -> None:
    assert POST in traces("tw", None, b'{"id": "1234"}').posts
    assert POST in traces("other", b"tw:1234", None).posts
    assert ("tw", "12:34") in traces("other", b"tw:12:34", b"?").posts
    assert POST in traces("other", None, json.dumps({"payload": INNER}).encode()).posts
    assert "alice" in traces("other", None, b'{"author_id": "ali\\u0063e", "text": "cut').names


@pytest.mark.parametrize(
    "value",
    [
        b'{"id": "12345", "platform": "tw", "author_id": "malice"}',
        b'{"id": "1234", "platform": "web", "text": 5}',
        b'{"id": "9", "platform": "tw", "text": "about 1234 and alice", "created_at": 1234}',
        b"12345,malice",
        None,
    ],
)
def test_others_are_left_alone(value: bytes | None) -> None:
    assert not concerns(("other", None, value), {POST}, {"alice"})


@given(st.binary(max_size=200), st.none() | st.binary(max_size=40))
def test_it_never_raises(value: bytes, key: bytes | None) -> None:
    concerns(("t", key, value), {POST}, {"alice"})


@given(st.text(min_size=1, max_size=30), st.text(min_size=1, max_size=30))
def test_what_a_producer_escapes_is_found(post_id: str, author: str) -> None:
    value = json.dumps({"id": post_id, "platform": "tw", "author_id": author}).encode()
    found = traces("t", None, value)
    assert not found.opaque
    for name in (post_id, author):
        clean = name.replace("\0", "")
        assert not clean or clean in found.names


@pytest.mark.parametrize(
    "value",
    [
        b'{"id": "1234", "platform": "tw", "x": ' + b"[" * 500_000,
        b"[" + b",".join(b'{"id": "%d", "platform": "p%d"}' % (n, n) for n in range(20_000)) + b"]",
        b" ".join(b"word%d" % n for n in range(100_000)),
        b'"' + b"\\" * 500_000 + b'"',
        b"platform" * 60_000,
        b"a:" * 400_000,
        b"\\u0041" * 80_000,
        b"\0" * 1_000_000,
    ],
    ids=["deep", "many", "words", "backslashes", "platforms", "colons", "escapes", "zeros"],
)
def test_a_mebibyte_of_anything_takes_little(value: bytes) -> None:
    began = time.process_time()
    found = traces("t", None, value)
    assert len(list(found.posts)) <= MAX_NAMES * (MAX_PLATFORMS + 1)
    concerns(("t", None, value), {POST}, {"alice"})
    assert time.process_time() - began < 5


def test_in_more_than_is_taken_apart_names_are_searched() -> None:
    value = json.dumps([*range(2_000), "alice", INNER]).encode()
    assert traces("t", None, value).opaque
    assert concerns(("t", None, value), {POST}, ())
    assert concerns(("t", None, value), (), {"alice"})
    assert not concerns(("t", None, value), (), {"bob"})
