"""Sizes are bounded: whatever a record holds, what it leaves in the tables is small."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import pytest
from kafka.errors import MessageSizeTooLargeError

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = [pytest.mark.integration, pytest.mark.e2e]

MIB = 1 << 20
# What the contract says of a post, in characters, times the bytes that one may take; raw records
# up to 1 MiB. What our own words take is bounded by a line or two.
BOUNDS = {
    ("dead_letters", "key"): MIB,
    ("dead_letters", "value"): MIB,
    ("dead_letters", "value_sha256"): 32,
    ("dead_letters", "detail"): 300,
    ("post_emotions", "text"): 20_000 * 4,
    ("post_emotions", "hashtags"): 10 * (100 * 4 + 3) + 2,
    ("post_emotions", "platform"): 256 * 4,
    ("post_emotions", "post_id"): 256 * 4,
    ("posts", "platform"): 256 * 4,
    ("posts", "post_id"): 256 * 4,
    ("trend_cells", "value"): 256 * 4,
}
OTHERS = 300
"""Any other column of bytes or characters."""
COLUMNS = (
    "SELECT c.relname::text, a.attname::text, a.atttypid::regtype::text "
    "FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid "
    "WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND a.attnum > 0 "
    "AND c.relnamespace = 'public'::regnamespace AND NOT a.attisdropped "
    "AND (a.attlen = -1 OR a.atttypid::regtype::text = 'name')"
)


def largest(query: Callable[..., Any]) -> dict[tuple[str, str], int]:
    """The largest value of each column of bytes or characters, in bytes."""
    found = {}
    for table, column, form in query(COLUMNS):
        value = column if form == "bytea" else f"{column}::text"
        [(size,)] = query(f"SELECT max(octet_length({value})) FROM {table}")
        found[table, column] = size or 0
    return found


def test_a_record_of_any_size_leaves_little(
    run: Callable[..., Any],
    query: Callable[..., Any],
    make_topic: Callable[..., str],
    produce: Callable[..., Any],
    a_post: Callable[..., Any],
) -> None:
    topic = make_topic(partitions=1)

    def key(size: int) -> bytes:
        return b"tw:" + b"k" * (size - 3)

    tags = [
        f"{number:05d}{'ß' * 120}" if number % 2 else f"#Tag{number}" for number in range(10_000)
    ]
    huge = json.dumps({**json.loads(a_post(1)[1]), "text": "x" * (30 * MIB)}).encode()
    deep = b"[" * (2 * MIB)
    wide = json.dumps({f"field{number}": number for number in range(100_000)}).encode()
    longest = {
        "id": "😀" * 256,
        "platform": "🎈" * 256,
        "text": "🔥" * 20_000,
        "author_id": "👤" * 256,
        "lang": "en-x-" + "abcdefgh-" * 3 + "abc",
        "hashtags": [f"{number}{'😀' * 99}" for number in range(10)],
    }
    records = [
        (b"", huge, 0, None),
        (b"", deep, 0, None),
        (b"", wide, 0, None),
        (key(MIB), b"{no json", 0, None),
        (key(MIB + 1), b"{no json", 0, None),
        (b"", b"{" + b"v" * (MIB - 1), 0, None),
        (b"", b"{" + b"v" * MIB, 0, None),
        (key(2 * MIB), None, 0, None),  # a withdrawal whose post id is too long
        (key(2 * MIB), a_post(2)[1], 0, None),  # a post is a post, whatever its key
        (b"", a_post(3, hashtags=tags)[1], 0, None),
        (b"", a_post(4, text=" ".join(f"#t{number}" for number in range(3_000)))[1], 0, None),
        (b"", a_post(5, **longest)[1], 0, None),
        (b"", a_post(6, lang="en-" + "abcdefgh-" * 10_000 + "abc")[1], 0, None),
        (b"", a_post(7, unknown="u" * (2 * MIB))[1], 0, None),
    ]
    try:
        produce(topic, records)
    except MessageSizeTooLargeError as error:
        pytest.skip(f"this broker takes no records of 30 MiB: {error}")

    code, _, log = run("run", "--drain", WORKER_TOPICS=topic, WORKER_STORE_TEXT="true")
    assert code == 0, log

    sizes = largest(query)
    bounds = {column: BOUNDS.get(column, OTHERS) for column in sizes}
    assert {column: size for column, size in sizes.items() if size > bounds[column]} == {}
    # The bounds are met by what may be as large, so that nothing is cut that need not be.
    assert sizes["dead_letters", "key"] == sizes["dead_letters", "value"] == MIB
    assert sizes["post_emotions", "text"] == 80_000
    assert sizes["posts", "post_id"] == sizes["posts", "platform"] == 1_024
    assert query("SELECT max(cardinality(hashtags)) FROM post_emotions") == [(10,)]
    assert query("SELECT max(char_length(tag)) FROM post_emotions, unnest(hashtags) AS tag") == [
        (100,)
    ]
    assert query("SELECT count(*) FROM post_emotions") == [(5,)]

    # Of what was too long to keep there is enough to know it by.
    letters = query(
        "SELECT kafka_offset::int, key IS NULL, value IS NULL, value_length::int, value_sha256 "
        "FROM dead_letters ORDER BY 1"
    )
    kept = {
        offset: (
            len(key) > MIB,
            value is None or len(value) > MIB,
            None if value is None else len(value),
            None if value is None else hashlib.sha256(value).digest(),
        )
        for offset, (key, value, _, _) in enumerate(records)
        if offset in {0, 1, 2, 3, 4, 5, 6, 7, 12}
    }
    assert {row[0]: row[1:] for row in letters} == kept
    assert len(log) < 20_000
