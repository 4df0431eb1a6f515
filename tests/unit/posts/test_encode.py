from __future__ import annotations

import json
from datetime import UTC
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.errors import SettingsError
from worker.posts import Post, Record, RecordRef, Withdrawal
from worker.posts.decode import decode
from worker.posts.encode import FIELDS, PostEncoder
from worker.posts.files import Row, RowError

REF = RecordRef("posts", UUID(int=0), 0, 0)
AIRLINE = {
    "id": "tweet_id", "platform": "airline", "created_at": "tweet_created", "author_id": "author",
}  # fmt: skip
TWEET = {
    "tweet_id": "570306133677760513", "author": "a8cda321935a", "airline": "Virgin America",
    "sentiment": "neutral", "text": "What @dhepburn said. #now",
    "tweet_created": "2015-02-24 11:35:52 -0800",
}  # fmt: skip


def cells(**values: str) -> Row:
    return Row("a.csv:2", cells=values)


def line(value: object) -> Row:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return Row("a.jsonl:1", line=raw)


def sent(row: Row, **options: Any) -> dict[str, Any]:
    key, value = PostEncoder("posts", **options).encode(row)
    decoded = decode(Record(REF, -1, key, value))
    assert isinstance(decoded, (Post, Withdrawal))
    assert key == f"{decoded.platform}:{decoded.post_id}".encode()
    fields: dict[str, Any] = json.loads(value)
    return fields


def test_a_mapped_csv() -> None:
    assert sent(cells(**TWEET), columns=AIRLINE) == {
        "id": "570306133677760513",
        "text": "What @dhepburn said. #now",
        "created_at": "2015-02-24T19:35:52Z",
        "platform": "Virgin America",
        "author_id": "a8cda321935a",
    }


def test_cells_become_what_the_wire_takes() -> None:
    assert sent(
        cells(
            id="1", text="", created_at="1424806552", platform="", lang="en", author_id="",
            hashtags="#a, b  c", edited_at="1424806553000", deleted="False", more="x",
        )
    ) == {
        "id": "1", "text": "", "created_at": 1_424_806_552, "lang": "en",
        "hashtags": ["#a", "b", "c"], "edited_at": 1_424_806_553_000, "deleted": False,
    }  # fmt: skip
    assert sent(cells(id="1", deleted="yes")) == {"id": "1", "deleted": True}


def test_constants_and_an_assumed_zone() -> None:
    row = cells(id="1", text="x", created_at="2015-02-24 11:35:52", lang="de")
    assert sent(row, constants={"platform": "x", "lang": "en"}, zone=UTC) == {
        "id": "1", "text": "x", "created_at": "2015-02-24T11:35:52Z", "platform": "x",
        "lang": "en",
    }  # fmt: skip


def test_a_json_line_that_is_a_post_stays_as_it_is() -> None:
    raw = b'{ "text": "a\\ud800b", "id":"1","created_at" : 1424806552.0, "more":[1] }'
    assert PostEncoder("posts").encode(line(raw)) == (b"posts:1", raw)


def test_a_json_line_that_is_nearly_one_is_mended() -> None:
    mended = {"id": "5", "text": "a\ud800b", "created_at": "2015-02-24 11:35:52 -0800"}
    assert sent(line(mended | {"id": 5, "author_id": 6, "more": 1})) == {
        "id": "5", "text": "ab", "created_at": "2015-02-24T19:35:52Z", "author_id": "6",
    }  # fmt: skip
    mapped = {"n": 5, "body": "x", "created_at": 1_424_806_552, "more": 1}
    assert sent(line(mapped), columns={"id": "n", "text": "body"}) == {
        "id": "5", "text": "x", "created_at": 1_424_806_552,
    }  # fmt: skip


def test_the_key_is_cleaned_as_the_identity_is() -> None:
    raw = json.dumps({"id": "\0a:b", "platform": "é\0", "deleted": True}).encode()
    assert PostEncoder("posts").encode(line(raw))[0] == "é:a:b".encode()


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        (
            cells(**TWEET | {"tweet_created": "2015-02-24 11:35:52"}),
            "`created_at` has no zone.*--timezone",
        ),
        (cells(**TWEET | {"tweet_created": "noon"}), "`created_at` is not an RFC 3339"),
        (cells(**TWEET | {"tweet_created": ""}), "`created_at` is missing"),
        (
            cells(**TWEET | {"tweet_created": "2999-01-01T00:00:00Z"}),
            "`created_at` is over an hour after",
        ),
        (cells(**TWEET | {"tweet_id": ""}), "`id` is missing"),
        (cells(**TWEET | {"airline": "a:b"}), "`platform` must have"),
        (cells(**TWEET | {"text": "x" * 20_001}), "`text` has more than"),
        (cells(**TWEET | {"deleted": "perhaps"}), "`deleted` must be true or false"),
    ],
)
def test_bad_cells(row: Row, problem: str) -> None:
    with pytest.raises(RowError, match=rf"^a\.csv:2: {problem}"):
        PostEncoder("posts", columns=AIRLINE, clock=lambda: 1_424_905_200).encode(row)


@pytest.mark.parametrize("columns", [{}, {"text": "body"}])
@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        (b"nonsense", "The value is not JSON: "),
        (b"[]", "The value is JSON, but not an object"),
        (b'"\xff"', "The value is not UTF-8"),
        (b"[" * 5_000, "The value is not JSON: recursion"),
        (b'{"id": "1", "text": 5, "body": 5, "created_at": 1424806552}', "`text` must be a string"),
    ],
)
def test_bad_json_lines(raw: bytes, problem: str, columns: dict[str, str]) -> None:
    with pytest.raises(RowError, match=rf"^a\.jsonl:1: {problem}"):
        PostEncoder("posts", columns=columns).encode(line(raw))


def test_what_is_not_there_is_a_matter_of_the_mapping() -> None:
    with pytest.raises(SettingsError, match=r"^a\.jsonl:1: there is no `body` .* only id, text\."):
        PostEncoder("posts", columns={"text": "body"}).encode(line({"id": "1", "text": "x"}))
    encoder = PostEncoder("posts", columns={"id": "n"}, constants={"created_at": "1424806552"})
    encoder.check_columns("a.csv", ("n", "text"))
    with pytest.raises(SettingsError, match=r"no column `n` to take `id` from.* are: id, text"):
        encoder.check_columns("a.csv", ("id", "text"))
    with pytest.raises(SettingsError, match=r"no column for `text`: .*--map text=COLUMN"):
        encoder.check_columns("a.csv", ("n",))
    PostEncoder("posts").check_columns("a.csv", ("id", "deleted"))
    with pytest.raises(SettingsError, match="no column for `id`"):
        PostEncoder("posts").check_columns("a.csv", ("text", "deleted"))


def test_fields_are_those_of_a_post_and_given_once() -> None:
    with pytest.raises(SettingsError, match=r"`body` is no field .*: id, text, created_at, platf"):
        PostEncoder("posts", columns={"body": "text"})
    with pytest.raises(SettingsError, match="`lang` is given a column and a constant"):
        PostEncoder("posts", columns={"lang": "l"}, constants={"lang": "en"})


def outcome(row: Row) -> str:
    """What went wrong, or nothing: what is sent decodes."""
    try:
        sent(row)
    except (RowError, SettingsError) as error:
        return str(error)
    return f"{row.place}: "


@given(st.dictionaries(st.sampled_from(FIELDS), st.text(st.characters(codec="utf-8"))))
def test_any_cells_become_a_record_that_decodes_or_an_error(values: dict[str, str]) -> None:
    assert outcome(cells(**values)).startswith("a.csv:2: ")


any_value = st.none() | st.integers() | st.text(st.characters())


@given(st.binary() | st.dictionaries(st.sampled_from(FIELDS), any_value))
def test_any_line_becomes_a_record_that_decodes_or_an_error(value: object) -> None:
    assert outcome(line(value)).startswith("a.jsonl:1: ")
