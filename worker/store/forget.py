"""Erases posts everywhere, and remembers as keyed hashes that they must not come back."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from psycopg import errors, sql

from worker.posts.traces import concerns
from worker.store.dead_letters import Selection, pages, redact
from worker.store.fold import columns
from worker.store.locks import own_policy, share_policy
from worker.store.policy import check_author_key, read_policy
from worker.store.queries import query
from worker.store.writer import add_cells, forget_labels

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    import psycopg

    from worker.store.fold import Identity
    from worker.store.session import Session

    Cursor = psycopg.Cursor[tuple[object, ...]]

CHUNK: Final = 2_000
"""Posts erased in one transaction: writers wait for it only where they touch the same rows."""
_PAGE: Final = 100
"""Dead letters read at once: each may hold a mebibyte."""


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What was erased.

    Attributes:
        remembered: Posts and authors that were not remembered as erased before.
        posts: Identities, withdrawn ones included.
        labels: Labels, with their share of the trends.
        dead_letters: Dead letters whose bytes were taken away.
    """

    remembered: int
    posts: int
    labels: int
    dead_letters: int


def forget(session: Session, posts: Collection[Identity], authors: Collection[str]) -> Forgotten:
    """Erases `posts` and all posts of `authors`: labels, trends, identities, dead letters.

    Idempotent: after a crash in the middle, call it again. What comes of them later is `erased`;
    dead letters that come of them later are stored without their bytes.

    Args:
        session: With the author key, where there are authors.
        posts: Platform and id of each.
        authors: Ids as the platform gives them.
    """
    remembered, hashes = session.run(
        partial(_remember, session=session, posts=posts, authors=authors)
    )
    erased = labels = 0
    known = sorted(posts)
    wanted = set(known)
    for chunk in _chunks(session, known, hashes):
        wanted.update(chunk)
        gone = session.run(partial(_erase, session=session, identities=chunk))
        remembered, erased, labels = remembered + gone[0], erased + gone[1], labels + gone[2]
    session.run(partial(_erase_beside, authors=hashes))
    labels += session.run(partial(_erase_detached, posts=known, authors=hashes))
    letters = 0
    for page in pages(session, Selection(state=None), _PAGE):
        found = [
            letter.id
            for letter in page
            if (letter.key is not None or letter.value is not None)
            and concerns((letter.ref.topic, letter.key, letter.value), wanted, authors)
        ]
        letters += redact(session, found) if found else 0
    return Forgotten(remembered, erased, labels, letters)


def _remember(
    connection: psycopg.Connection,
    session: Session,
    posts: Collection[Identity],
    authors: Collection[str],
) -> tuple[int, list[str]]:
    """From here on nobody stores anything of them. Short: every writer waits for it.

    Returns:
        How many hashes are new, and the authors'.
    """
    hasher = session.hasher
    hashed = [name for author in authors if (name := hasher.author(author)) is not None]
    assert len(hashed) == len(authors), "authors are forgotten under a key"
    with connection.cursor(binary=True) as cursor:
        # First of all locks: no writer is under way, so what it read of the erasures still holds.
        own_policy(cursor)
        check_author_key(read_policy(cursor), hasher)
        if hashed:
            cursor.execute(
                query("forget_fingerprint"), {"fingerprint": hasher.author_key_fingerprint()}
            )
        remembered = _add_erasures(
            cursor,
            posts=[hasher.post(*identity) for identity in posts],
            authors=[bytes.fromhex(name) for name in hashed],
        )
    connection.commit()
    return remembered, hashed


def _add_erasures(cursor: Cursor, *, posts: Sequence[bytes], authors: Sequence[bytes] = ()) -> int:
    cursor.execute(
        query("forget_erasures"),
        {
            "kinds": ["post"] * len(posts) + ["author"] * len(authors),
            "hashes": [*posts, *authors],
        },
    )
    return cursor.rowcount


def _chunks(
    session: Session, posts: Sequence[Identity], authors: Sequence[str]
) -> Iterator[Sequence[Identity]]:
    for start in range(0, len(posts), CHUNK):
        yield posts[start : start + CHUNK]
    while authors and (theirs := session.run(partial(_posts_of, authors=authors))):
        yield theirs


def _posts_of(connection: psycopg.Connection, authors: Sequence[str]) -> list[Identity]:
    """Some posts of the authors; none once there are none left."""
    rows = connection.execute(
        query("forget_author"), {"authors": list(authors), "limit": CHUNK}
    ).fetchall()
    connection.rollback()
    return [(row[0], row[1]) for row in rows]


def _erase(
    connection: psycopg.Connection, session: Session, identities: Sequence[Identity]
) -> tuple[int, int, int]:
    """Takes posts out beside writers, as one of them: how many hashes, identities, labels."""
    with connection.cursor(binary=True) as cursor:
        share_policy(cursor)
        policy = read_policy(cursor)
        cursor.execute(query("forget_posts"), columns(identities))
        erased = cursor.rowcount
        cursor.execute(query("forget_beside"), columns(identities))
        # A writer that waits for an identity finds its erasure once it has it.
        remembered = _add_erasures(
            cursor, posts=[session.hasher.post(*identity) for identity in identities]
        )
        labels = forget_labels(cursor, identities, policy)
        if labels:
            add_cells(cursor, [], session.slot, policy)
    connection.commit()
    return remembered, erased, labels


def _erase_beside(connection: psycopg.Connection, authors: Sequence[str]) -> None:
    """What replays keep of posts of which only they know the author."""
    if authors:
        connection.execute(query("forget_beside_authors"), {"authors": list(authors)}, binary=True)
    connection.commit()


def _erase_detached(
    connection: psycopg.Connection, posts: Sequence[Identity], authors: Sequence[str]
) -> int:
    """Of days past retention whose tables are out of sight, but not dropped yet."""
    erased = 0
    tables = connection.execute(query("maintain_days")).fetchall()
    for name in [name for name, attached in tables if not attached]:
        try:
            erased += connection.execute(
                sql.SQL(
                    "DELETE FROM {} WHERE author_hash = ANY (%(authors)s) OR (platform, post_id) "
                    "IN (SELECT * FROM unnest(%(platforms)s::text[], %(post_ids)s::text[]))"
                ).format(sql.Identifier(name)),
                columns(posts) | {"authors": list(authors)},
            ).rowcount
            connection.commit()
        except errors.UndefinedTable:  # dropped this moment
            connection.rollback()
    connection.rollback()
    return erased
