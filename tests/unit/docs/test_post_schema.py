"""A value that the JSON Schema of a post allows is a post or a withdrawal; any other is neither."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from docs.generate.post import schema
from worker.posts import Record, RecordRef, Rejection
from worker.posts.decode import decode

SCHEMA = Draft202012Validator(schema())
REF = RecordRef("posts", UUID(int=0), 0, 0)
STRINGS = st.sampled_from(["", "a", "a:b", "en", "x" * 36, "x" * 256, "x" * 257, "x" * 20_001])
OTHERS: st.SearchStrategy[Any] = st.sampled_from([None, True, False, 5, 5.5, [], ["a"], [5], {}])
TIMES = st.sampled_from(["2026-03-01T09:00:10Z", 1_772_355_610, 1_772_355_610_000.5])
OLD = st.sampled_from([0, -1, 946_684_799, 946_684_800])


def _fields(**also: st.SearchStrategy[Any]) -> dict[str, st.SearchStrategy[Any]]:
    return {name: one | OTHERS for name, one in also.items()}


VALUES = st.fixed_dictionaries(
    _fields(id=STRINGS),
    optional=_fields(
        text=STRINGS,
        created_at=TIMES | OLD,
        platform=STRINGS,
        author_id=STRINGS,
        hashtags=st.lists(STRINGS, max_size=2),
        edited_at=TIMES | OLD,
        deleted=st.booleans(),
        more=STRINGS,
    ),
)


def _is_taken(value: object) -> bool:
    record = Record(REF, 1_780_000_000_000, None, json.dumps(value).encode())
    return not isinstance(decode(record), Rejection)


def test_it_is_a_schema() -> None:
    Draft202012Validator.check_schema(schema())


@given(VALUES | OTHERS | STRINGS)
def test_it_says_what_the_worker_takes(value: object) -> None:
    assert SCHEMA.is_valid(value) == _is_taken(value)


POST = {"id": "1", "text": "hello", "created_at": "2026-03-01T09:00:10Z"}


@pytest.mark.parametrize(
    ("change", "fits"),
    [
        ({}, True),
        ({"lang": "pt-BR", "hashtags": ["a"], "platform": "forum"}, True),
        ({"lang": None, "platform": None, "edited_at": None}, True),
        ({"id": ""}, False),
        ({"text": None}, False),
        ({"lang": "x" * 36}, False),
        ({"hashtags": "a,b"}, False),
        ({"deleted": True, "text": 5, "created_at": None}, True),
        ({"deleted": True, "id": 5}, False),
    ],
)
def test_of_these_it_says_the_same(change: dict[str, Any], fits: bool) -> None:
    value = {**POST, **change}
    assert SCHEMA.is_valid(value) == _is_taken(value) == fits
