"""What every writer must respect: floors, and what was erased. Read under the policy lock."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from worker.errors import WorkerError
from worker.store.locks import share_policy
from worker.store.queries import query
from worker.store.revision import check_schema, newest

if TYPE_CHECKING:
    from datetime import datetime

    import psycopg

    from worker.posts.order import Standing
    from worker.store.load import Hasher

    Cursor = psycopg.Cursor[tuple[object, ...]]


class Policy(NamedTuple):
    """The policy's row, whether anything at all was erased, and the promotion to be kept apart.

    `promoted` is the generation of the newest promotion that can be rolled back.
    """

    label_floor: datetime | None
    minute_floor: datetime | None
    author_key_fingerprint: bytes | None
    has_erasures: bool
    promoted: int | None = None

    def dropped(self, one: Standing) -> bool:
        """Whether retention took the label of what stands: its row is on its way out as well."""
        return (
            self.label_floor is not None
            and one.created_at is not None
            and one.created_at < self.label_floor
        )


def read_policy(cursor: Cursor) -> Policy:
    """Reads the policy; in a transaction, only after the policy lock, in a statement of its own.

    Raises:
        SchemaError: A migration, for which writers wait at that lock, ended workers of ours.
    """
    row = cursor.execute(query("policy")).fetchone()
    assert row is not None, "the first migration makes the policy's row"
    *policy, revision = row
    if revision != newest():
        check_schema(cursor.connection)
    return Policy(*policy)  # type: ignore[arg-type]


def share_schema(connection: psycopg.Connection) -> None:
    """Holds the schema still until this transaction ends, and makes sure that we may write to it.

    Raises:
        SchemaError: We may not any more.
    """
    with connection.cursor() as cursor:
        share_policy(cursor)
        if cursor.execute(query("revision")).fetchone() != (newest(),):
            check_schema(connection)


def check_author_key(policy: Policy, hasher: Hasher) -> None:
    """Makes sure that the posts of erased authors are recognized.

    Raises:
        WorkerError: The authors were erased under another key.
    """
    fingerprint = policy.author_key_fingerprint
    if fingerprint is not None and hasher.author_key_fingerprint() != fingerprint:
        raise WorkerError(
            "Authors were erased here under a WORKER_AUTHOR_KEY that this process does not have; "
            "without it their posts would come back. Set that key."
        )


def erased(cursor: Cursor) -> dict[int, bool]:
    """The batch's erased records by ordinal: whether the post itself is remembered as erased.

    If not, it is its author who is.
    """
    return dict(cursor.execute(query("erased")).fetchall())  # type: ignore[arg-type]
