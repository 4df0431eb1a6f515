"""Whose a rejected record may be."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.posts.traces import concerns, traces

POST = ("tw", "1234")


@pytest.mark.parametrize(
    "value",
    [
        b'{"id": "1234", "platform": "tw", "text": 5}',
        b'{"id": 1234, "platform": "tw"}',
        b'{"id": "\\u0031234", "platform": "t\\u0077", "text": 5}',
        b'{"id": "x", "id": "1234", "platform": "tw"}',
        b'{"platform": "tw", "id": "1234", "text": "cut sh',
        b'\xef\xbb\xbf{"id": "1234", "platform": "tw"}',
        b'[{"id": "1234", "platform": "tw"}]',
        b'{"post": {"id": "1234", "platform": "tw"}}',
        b'{"id": "12\\u000034", "platform": "tw"}',
        b'{"id": "1234", "platform": "tw", "text": "\xff\xfe"}',
    ],
)
def test_a_post_is_found_in_what_is_left_of_its_record(value: bytes) -> None:
    assert POST in traces("other", None, value).posts
    assert concerns(("other", None, value), {POST}, ())


def test_the_platform_may_be_the_topics_name_and_the_key_counts_too() -> None:
    assert traces("tw", None, b'{"id": "1234"}').posts == {POST}
    assert traces("other", b"tw:1234", None).posts == {POST}
    assert traces("other", b"tw:12:34", b"?").posts == {("tw", "12:34")}
    assert traces("other", b"\xff", b"").posts == frozenset()


@pytest.mark.parametrize(
    "value",
    [
        b'{"id": "1234", "author_id": "alice", "text": 5}',
        b'{"text": 5, "author_id": "ali',
        b"1234,alice,what a day",
        b"<post author='alice'>",
    ],
)
def test_an_author_is_found_too(value: bytes) -> None:
    name = "ali" if value.endswith(b'"ali') else "alice"
    assert concerns(("t", None, value), (), {name})


@pytest.mark.parametrize(
    "value",
    [
        b'{"id": "12345", "platform": "tw", "text": 5}',
        b'{"id": "1234", "platform": "web", "text": 5}',
        b'{"id": "9", "platform": "tw", "text": "about 1234 and alice", "created_at": 0}',
        b"12345,malice",
        None,
    ],
)
def test_others_are_left_alone(value: bytes | None) -> None:
    assert not concerns(("other", None, value), {POST}, {"alice"})


@given(st.binary(max_size=200), st.none() | st.binary(max_size=40))
def test_it_never_raises(value: bytes, key: bytes | None) -> None:
    concerns(("t", key, value), {POST}, {"alice"})
    traces("t", key, value)


@given(st.text(min_size=1, max_size=30), st.text(min_size=1, max_size=30))
def test_what_a_producer_escapes_is_found(post_id: str, author: str) -> None:
    value = json.dumps({"id": post_id, "platform": "tw", "author_id": author}).encode()
    found = traces("t", None, value)
    assert found.sure
    clean = post_id.replace("\0", "")
    assert ("tw", clean) in found.posts
    assert author.replace("\0", "") in found.authors


def test_deep_nesting_is_no_trouble() -> None:
    value = b'{"id": "1234", "platform": "tw", "x": ' + b"[" * 200_000
    assert POST in traces("t", None, value).posts


