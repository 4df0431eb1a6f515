"""Erases posts everywhere, and remembers as keyed hashes that they must not come back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from worker.posts.traces import concerns
from worker.store.dead_letters import Selection, pages, redact
from worker.store.locks import own_policy
from worker.store.policy import check_author_key, read_policy
from worker.store.queries import query
from worker.store.writer import add_cells, remove_labels

if TYPE_CHECKING:
    from collections.abc import Collection

    import psycopg

    from worker.store.fold import Identity
    from worker.store.session import Session

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
    remembered, erased, labels = session.run(
        lambda connection: _erase(connection, session, posts, authors)
    )
    letters = 0
    for page in pages(session, Selection(state=None), _PAGE):
        found = [
            letter.id
            for letter in page
            if (letter.key is not None or letter.value is not None)
            and concerns((letter.ref.topic, letter.key, letter.value), posts, authors)
        ]
        letters += redact(session, found) if found else 0
    return Forgotten(remembered, erased, labels, letters)


def _erase(
    connection: psycopg.Connection,
    session: Session,
    posts: Collection[Identity],
    authors: Collection[str],
) -> tuple[int, int, int]:
    hasher = session.hasher
    with connection.cursor(binary=True) as cursor:
        # First of all locks: no writer is under way, so what it read of the erasures still holds.
        own_policy(cursor)
        policy = read_policy(cursor)
        check_author_key(policy, hasher)
        hashed = [name for author in authors if (name := hasher.author(author)) is not None]
        assert len(hashed) == len(authors), "authors are forgotten under a key"
        if hashed:
            cursor.execute(
                query("forget_fingerprint"), {"fingerprint": hasher.author_key_fingerprint()}
            )
        theirs = cursor.execute(query("forget_author"), {"authors": hashed}).fetchall()
        lying = {(row[0], row[1]): row[2] for row in theirs}
        identities = sorted({*posts, *lying})
        hashes = [hasher.post(*identity) for identity in identities]
        remembered = cursor.execute(
            query("forget_erasures"),
            {
                "kinds": ["post"] * len(hashes) + ["author"] * len(hashed),
                "hashes": hashes + [bytes.fromhex(name) for name in hashed],
            },
        ).rowcount
        rows = cursor.execute(
            query("forget_posts"),
            {
                "platforms": [platform for platform, _ in identities],
                "post_ids": [post_id for _, post_id in identities],
            },
        ).fetchall()
        floor = policy.label_floor
        labels = remove_labels(
            cursor,
            {
                (row[0], row[1]): row[2]
                for row in rows
                if row[2] is not None and (floor is None or row[2] >= floor)
            },
        )
        if labels:
            add_cells(cursor, [], session.slot, policy)
    connection.commit()
    return remembered, len(rows), labels
