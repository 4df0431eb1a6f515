"""What must never be seen: texts, authors and secrets, in logs, metrics and tables.

Each carries a canary of its own, which is then looked for wherever it must not be.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import socket
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import psycopg
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = [pytest.mark.integration, pytest.mark.e2e]

TEXT = "canarytext7f3b"
AUTHOR = "canaryauthor91cc"
KEY = "canarykey-5d20-of-the-authors-hashes"
PASSWORD = "canarypassword04e8"
CANARIES = (TEXT, AUTHOR, KEY, PASSWORD)
RAW = {"dead_letters": ("key", "value")}
"""Columns that hold rejected records as they came, so that they can be looked at and retried."""
TABLES = (
    "SELECT c.relname FROM pg_class c WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition "
    "AND c.relnamespace = 'public'::regnamespace"
)


def with_password(url: str) -> tuple[str, str]:
    """`url` with a password in it, and that: the server's own, else our canary."""
    parts = urlsplit(url)
    if parts.password:
        return url, parts.password
    user, _, place = parts.netloc.rpartition("@")
    return parts._replace(netloc=f"{user}:{PASSWORD}@{place}").geturl(), PASSWORD


def seen(text: str, *more: str) -> list[str]:
    """Where `text` shows a canary, as itself, in other letters, or as the bytes' digits."""
    canaries = (*CANARIES, *more)
    shown = "|".join(re.escape(form) for c in canaries for form in (c, c.encode().hex()))
    return [text[max(0, m.start() - 80) : m.end() + 80] for m in re.finditer(shown, text, re.I)]


def dump(query: Callable[..., Any]) -> str:
    """Every row of every table, less the columns for raw records."""
    lines = []
    for (table,) in query(TABLES):
        columns = "".join(f" - '{column}'" for column in RAW.get(table, ()))
        rows = query(f"SELECT (to_jsonb(t){columns})::text FROM {table} t")
        lines += [f"{table}: {row}" for (row,) in rows]
    return "\n".join(lines)


def garbage(good: bytes) -> list[bytes]:
    """Records that are rejected, each for a reason of its own."""
    fields = json.loads(good)
    changes: list[dict[str, object]] = [
        {"text": [TEXT]},
        {"text": TEXT * 2_000},
        {"created_at": TEXT},
        {"created_at": f"2026-01-01T00:00:00 {AUTHOR}"},
        {"edited_at": {AUTHOR: TEXT}},
        {"lang": TEXT},
        {"platform": f"{AUTHOR}:{TEXT}"},
        {"id": TEXT * 40},
        {"author_id": AUTHOR * 40},
        {"author_id": {"name": AUTHOR}},
        {"hashtags": TEXT},
        {"deleted": AUTHOR},
    ]
    return [
        *(json.dumps(fields | change).encode() for change in changes),
        good[:-1],
        good.replace(TEXT.encode(), TEXT.encode() + b"\xff"),
        f'"{TEXT} {AUTHOR}"'.encode(),
        f'{{"{TEXT}": "{AUTHOR}"}}'.encode(),
    ]


def ask(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


@pytest.fixture
def records(a_post: Callable[..., Any]) -> list[tuple[bytes | None, bytes | None, None, None]]:
    """60 posts of 3 authors and 18 records that are none, full of canaries."""
    posts = [
        a_post(number, text=f"{TEXT} says {number}", author_id=f"{AUTHOR}-{number % 3}")
        for number in range(60)
    ]
    good = a_post(100, text=TEXT, author_id=AUTHOR)[1]
    bad = [(f"tw:{AUTHOR}".encode(), value, None, None) for value in garbage(good)]
    return [
        *posts,
        *bad,
        (TEXT.encode(), None, None, None),
        (AUTHOR.encode() + b"\xff", b"", None, None),
    ]


def test_texts_authors_and_secrets_are_seen_nowhere(
    command: Callable[..., Any],
    run: Callable[..., Any],
    query: Callable[..., Any],
    eventually: Callable[..., None],
    make_topic: Callable[..., str],
    produce: Callable[..., Any],
    records: list[Any],
    database_url: str,
) -> None:
    topic = make_topic(partitions=2)
    produce(topic, records)
    url, password = with_password(database_url)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    settings = {
        "WORKER_TOPICS": topic,
        "WORKER_AUTHOR_KEY": KEY,
        "WORKER_DATABASE_URL": url,
        "WORKER_METRICS_PORT": str(port),
        "WORKER_LOG_FORMAT": "json",
    }
    worker = command("run", "--verbose", **settings)
    eventually(lambda: query("SELECT sum(consumed)::int FROM stream_offsets") == [(len(records),)])
    answers = {path: ask(port, path) for path in ("/metrics", "/livez", "/readyz", "/")}
    worker.terminate()
    out, _ = worker.communicate(timeout=20)

    # They were there to be seen: 60 posts, and 18 rejections for many reasons.
    assert query("SELECT count(*) FROM post_emotions") == [(60,)]
    [(dead, reasons)] = query("SELECT count(*), count(DISTINCT reason) FROM dead_letters")
    assert dead == 18
    assert reasons >= 10
    assert 'dead_letters_total{reason="wrong_type"} 5.0' in answers["/metrics"][1]

    log = worker.log.read_text()
    assert '"event": "reading"' in log
    assert seen(out + log, password) == []
    assert seen(json.dumps(answers), password) == []

    tables = dump(query)
    assert seen(tables, password) == []
    hashes = {
        hmac.digest(KEY.encode(), f"{AUTHOR}-{number}".encode(), "sha256").hex()
        for number in range(3)
    }
    assert query("SELECT count(DISTINCT author_hash) FROM post_emotions") == [(3,)]
    assert all(found in tables for found in hashes)
    # Keyed: whoever knows an author's id cannot look the author up without the key.
    unkeyed = [hashlib.sha256(f"{AUTHOR}-{number}".encode()).hexdigest() for number in range(3)]
    assert not any(found in tables for found in unkeyed)

    for arguments in (("check",), ("verify",)):
        code, out, log = run(*arguments, **settings)
        assert code == 0, log
        assert seen(out + log, password) == []


def test_without_a_key_no_author_is_stored_at_all(
    run: Callable[..., Any],
    query: Callable[..., Any],
    make_topic: Callable[..., str],
    produce: Callable[..., Any],
    records: list[Any],
) -> None:
    """And with WORKER_STORE_TEXT the text is stored, in its own column and nowhere else."""
    topic = make_topic(partitions=1)
    produce(topic, records)
    code, out, log = run(
        "run", "--drain", "--verbose", WORKER_TOPICS=topic, WORKER_STORE_TEXT="true"
    )
    assert code == 0, log
    assert seen(out + log) == []
    assert query("SELECT count(*) FROM post_emotions WHERE author_hash IS NOT NULL") == [(0,)]
    assert query(f"SELECT count(*) FROM post_emotions WHERE text LIKE '{TEXT}%'") == [(60,)]
    query("UPDATE post_emotions SET text = NULL RETURNING 1")
    assert seen(dump(query)) == []


def test_what_postgres_says_of_a_row_that_it_refuses_is_kept_back(
    run: Callable[..., Any],
    query: Callable[..., Any],
    make_topic: Callable[..., str],
    produce: Callable[..., Any],
    records: list[Any],
    database_url: str,
) -> None:
    """Its message has the whole row for a detail: text, author and all."""
    topic = make_topic(partitions=1)
    produce(topic, records)
    url, password = with_password(database_url)
    with psycopg.connect(database_url) as connection:
        connection.execute("ALTER TABLE post_emotions ADD CONSTRAINT none CHECK (post_id <> '7')")
    code, out, log = run(
        "run",
        "--drain",
        "--verbose",
        WORKER_TOPICS=topic,
        WORKER_STORE_TEXT="true",
        WORKER_DATABASE_URL=url,
    )
    assert code == 1
    assert "verify" in log, "the run failed for another reason"
    assert seen(out + log, password) == []


@pytest.mark.slow
def test_secrets_are_not_in_what_is_said_of_services_that_cannot_be_reached(
    run: Callable[..., Any],
) -> None:
    sasl = {
        "WORKER_KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
        "WORKER_KAFKA_SASL_MECHANISM": "PLAIN",
        "WORKER_KAFKA_SASL_USER": "me",
        "WORKER_KAFKA_SASL_PASSWORD": PASSWORD,
    }
    away = {
        "WORKER_DATABASE_URL": f"postgresql://me:{PASSWORD}@127.0.0.1:9/x",
        "WORKER_AUTHOR_KEY": KEY,
    }
    wrong = {
        "WORKER_DATABASE_URL": f"postgresql://me:{PASSWORD}/@127.0.0.1/x",
        "WORKER_KAFKA_SASL_PASSWORD": PASSWORD,  # without SASL
    }
    for arguments, settings, expected in (
        (("check",), sasl | away, 3),  # the broker speaks no SASL
        (("run", "--verbose"), away, 3),
        (("run", "--verbose"), wrong, 2),
    ):
        code, out, log = run(*arguments, **settings)
        assert code == expected, out + log
        assert seen(out + log) == []
