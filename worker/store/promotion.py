"""Promotions: a shadow's labels put in place chunk by chunk, and taken back the same way.

Each chunk is one transaction, so a kill between two leaves exact trends, and the next run goes on.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from worker.errors import WorkerError
from worker.store import replays
from worker.store.fold import columns
from worker.store.locks import share_policy
from worker.store.policy import erased, read_policy
from worker.store.queries import query
from worker.store.session import ErasedMeanwhileError
from worker.store.writer import add_cells, keep_topics, lock_identities, remove_labels

if TYPE_CHECKING:
    from collections.abc import Callable

    import psycopg

    from worker.store.fold import Identity
    from worker.store.policy import Policy
    from worker.store.replays import Replay, State
    from worker.store.session import Session

    Cursor = psycopg.Cursor[tuple[object, ...]]

CHUNK: Final = 1_000
"""Labels in one transaction: writers of the same posts wait for it."""


def promote(session: Session, name: str, advance: Callable[[int], None]) -> Replay:
    """Puts a finished shadow's labels in place of the live ones; again after a kill.

    Only where the version that it labelled still stands; posts never seen are added. What stood
    before is kept for `rollback`; what older promotions kept is given up.

    Args:
        session: That writes.
        name: The shadow's.
        advance: Told of each chunk how many labels it had.

    Raises:
        WorkerError: There is no such shadow, or it cannot be promoted.
    """
    found = one(session, name)
    if found.plan.kind != "shadow":
        raise WorkerError(f"The replay {name} is not a shadow: its labels are in place already.")
    _move(session, found, "finished", "promoting", after="promoting", to="promoted")
    _older(session)
    _Walk(session, name).each(_promote, advance)
    _finish(session, name, "promoting", "promoted")
    return one(session, name)


def rollback(session: Session, name: str, advance: Callable[[int], None]) -> Replay:
    """Takes the newest promotion back, as if it had never been; again after a kill.

    Args:
        session: That writes.
        name: The shadow's.
        advance: Told of each chunk how many labels it had.

    Raises:
        WorkerError: It is not the newest promotion, or what it replaced was given up.
    """
    found = one(session, name)
    _move(
        session,
        found,
        "promoting",
        "promoted",
        "rolling_back",
        after="rolling_back",
        to="rolled back",
    )
    _Walk(session, name).each(_rollback, advance)
    # A promotion that was stopped half-way has labels left that were never put in place.
    _each(session, partial(_discard_shadow, name=name), lambda _: None)
    _finish(session, name, "rolling_back", "rolled_back")
    return one(session, name)


def discard(session: Session, name: str, advance: Callable[[int], None]) -> Replay:
    """Drops what a replay keeps beside the live labels: its own, or those for a rollback.

    Live labels and trends stay as they are.

    Args:
        session: That writes.
        name: The replay's.
        advance: Told of each chunk how many labels it had.

    Raises:
        WorkerError: There is no such replay, or it is in the middle of a promotion or rollback.
    """
    found = one(session, name)
    _move(
        session,
        found,
        "running",
        "finished",
        "promoted",
        "rolled_back",
        "discarding",
        "discarded",
        after="discarding",
        to="discarded",
    )
    session.run(lambda c: replays.retire(c, name))
    _each(session, partial(_discard_shadow, name=name), advance)
    if found.generation is not None:
        _each(session, partial(_discard_kept, generation=found.generation), advance)
    _set(session, name, "discarding", after="discarded")
    return one(session, name)


def one(session: Session, name: str) -> Replay:
    """The replay of that name.

    Raises:
        WorkerError: There is none.
    """
    found = session.run(lambda c: replays.read_replays(c, name))
    if not found:
        raise WorkerError(f"There is no replay {name}. `emotion-worker replays` lists them.")
    return found[0]


def _set(session: Session, name: str, *before: State, after: State) -> bool:
    return session.run(lambda c: replays.set_state(c, name, before=before, after=after))


def _move(session: Session, found: Replay, *before: State, after: State, to: str) -> None:
    name = found.plan.name
    if _set(session, name, *before, after=after):
        return
    state = one(session, name).state
    hint = {
        "running": "It has not read all yet: run its `replay` command to the end first.",
        "finished": "It was never promoted; `replays discard` drops its labels.",
        "promoting": "It is being promoted: run `replays promote` to its end, or take it back "
        "with `replays rollback`.",
        "rolling_back": "It is being rolled back: run `replays rollback` to its end first.",
        "discarded": "What it kept is gone; a newer promotion gives up what older ones kept.",
    }.get(state, "Begin another, with another --name.")
    raise WorkerError(f"The replay {name} is {state.replace('_', ' ')} and cannot be {to}. {hint}")


def _finish(session: Session, name: str, before: State, after: State) -> None:
    if not _set(session, name, before, after=after):
        raise _elsewhere(name, one(session, name).state)


def _elsewhere(name: str, state: str) -> WorkerError:
    return WorkerError(
        f"The replay {name} is {state.replace('_', ' ')} by another hand meanwhile. What was done "
        f"until then stands; `emotion-worker replays show {name}` says how it is."
    )


def _older(session: Session) -> None:
    """Drops what older promotions kept: only the newest can be rolled back."""
    for other in session.run(replays.read_replays):
        if other.state == "discarding" and other.promoted:
            discard(session, other.plan.name, lambda _: None)


class _Walk:
    """Goes through the keys of a replay once, a chunk in each transaction.

    Each chunk begins after the last one: what that one deleted is not gone through again.
    """

    def __init__(self, session: Session, name: str) -> None:
        self.session = session
        self.name = name
        self._after: Identity = ("", "")

    def each(
        self,
        chunk: Callable[[Cursor, _Walk, Identity], list[Identity]],
        advance: Callable[[int], None],
    ) -> None:
        """Does chunk after chunk until one had nothing to do."""
        while done := self.session.run(partial(self._one, chunk=chunk)):
            self._after = done[-1]
            advance(len(done))

    def _one(
        self,
        connection: psycopg.Connection,
        *,
        chunk: Callable[[Cursor, _Walk, Identity], list[Identity]],
    ) -> list[Identity]:
        with connection.cursor(binary=True) as cursor:
            share_policy(cursor)
            # In key order a chunk's labels lie on all days: looked up one by one, each is found in
            # its day's partition, where a hash join would read all of them.
            cursor.execute("SET LOCAL enable_hashjoin = off")
            cursor.execute("SET LOCAL enable_mergejoin = off")
            done = chunk(cursor, self, self._after)
        connection.commit()
        return done


def _locked(cursor: Cursor, name: str, state: State) -> tuple[int, int, bool]:
    """The replay's row, locked: generation, model, whether it read files.

    Raises:
        WorkerError: It is no longer in that state.
    """
    row = cursor.execute(query("replay_lock"), {"name": name}).fetchone()
    if row is None or row[3] != state:
        raise _elsewhere(name, "gone" if row is None else str(row[3]))
    return int(str(row[0])), int(str(row[1])), bool(row[2])


def _promote(cursor: Cursor, walk: _Walk, after: Identity) -> list[Identity]:
    policy = read_policy(cursor)
    generation, model_id, files = _locked(cursor, walk.name, "promoting")
    loaded = cursor.execute(
        query("promote_load"),
        {
            "replay": walk.name,
            "generation": generation,
            "limit": CHUNK,
            "platform": after[0],
            "post_id": after[1],
        },
    ).fetchall()
    if not loaded:
        return []
    done = _put_in_place(
        cursor,
        loaded,
        policy,
        slot=walk.session.slot,
        generation=generation,
        model_id=model_id,
        files=files,
    )
    cursor.execute(
        query("promote_done"),
        {"replay": walk.name, "promoted": done, "superseded": len(loaded) - done},
    )
    return sorted((str(row[1]), str(row[2])) for row in loaded)


def _put_in_place(
    cursor: Cursor,
    loaded: list[tuple[object, ...]],
    policy: Policy,
    *,
    slot: int,
    generation: int,
    model_id: int,
    files: bool,
) -> int:
    gone = erased(cursor) if policy.has_erasures else {}
    floor = policy.label_floor
    fit = {
        (str(platform), str(post_id)): (int(str(ordinal)), version)
        for ordinal, platform, post_id, version, created_at in loaded
        if ordinal not in gone and version is not None and (floor is None or created_at >= floor)  # type: ignore[operator]
    }
    rows = cursor.execute(
        query("insert_identities"), {"ordinals": [ordinal for ordinal, _ in fit.values()]}
    ).fetchall()
    added = {(str(row[0]), str(row[1])) for row in rows}
    known = sorted(fit.keys() - added)
    stored = lock_identities(cursor, known) if known else {}
    if len(stored) != len(known) or (policy.has_erasures and erased(cursor) != gone):
        raise ErasedMeanwhileError
    taken = {
        key: standing.created_at
        for key, standing in stored.items()
        if standing.live
        and standing.version == fit[key][1]
        and standing.generation < generation
        and not policy.dropped(standing)
    }
    known_ordinals = [fit[key][0] for key in taken]
    ordinals = sorted([*known_ordinals, *(fit[key][0] for key in added)])
    if not ordinals:
        return 0
    cursor.execute(
        query("promote_keep"),
        {"generation": generation, "ordinals": ordinals, "known": known_ordinals},
    )
    cursor.execute(query("update_identities"), {"ordinals": known_ordinals})
    if files:
        keep_topics(cursor, taken, known_ordinals)
    remove_labels(cursor, taken)
    cursor.execute(query("insert_labels"), {"ordinals": ordinals, "model_id": model_id})
    add_cells(cursor, ordinals, slot, policy, model_id)
    return len(ordinals)


def _rollback(cursor: Cursor, walk: _Walk, after: Identity) -> list[Identity]:
    policy = read_policy(cursor)
    generation, _, _ = _locked(cursor, walk.name, "rolling_back")
    chosen = cursor.execute(
        query("rollback_next"),
        {
            "generation": generation,
            "limit": CHUNK,
            "platform": after[0],
            "post_id": after[1],
        },
    ).fetchall()
    keys = [(str(platform), str(post_id)) for platform, post_id in chosen]
    if keys:
        _take_back(cursor, keys, policy, slot=walk.session.slot, generation=generation)
    return keys


def _take_back(
    cursor: Cursor, keys: list[Identity], policy: Policy, *, slot: int, generation: int
) -> None:
    stored = lock_identities(cursor, keys)
    kept = cursor.execute(
        query("rollback_load"), {**columns(keys), "generation": generation}
    ).fetchall()
    standing = {
        int(str(row[0])): one
        for row in kept
        if (one := stored.get((str(row[1]), str(row[2])))) is not None
        and one.live
        and one.generation == generation
        and not policy.dropped(one)
    }
    models: dict[int | None, list[int]] = {}
    for row in kept:
        if (ordinal := int(str(row[0]))) in standing:
            models.setdefault(None if row[4] is None else int(str(row[4])), []).append(ordinal)
    identities = {int(str(row[0])): (str(row[1]), str(row[2])) for row in kept}
    # The labels that one statement adds to the cells are all of one model.
    for model_id, ordinals in models.items():
        remove_labels(cursor, {identities[o]: standing[o].created_at for o in ordinals})
        if model_id is None:
            cursor.execute(query("rollback_added"), {"ordinals": ordinals})
            add_cells(cursor, [], slot, policy)
        else:
            places = {"ordinals": ordinals, "generation": generation}
            cursor.execute(query("update_identities"), {"ordinals": ordinals})
            cursor.execute(query("rollback_topics"), places)
            cursor.execute(query("insert_labels"), {"ordinals": ordinals, "model_id": model_id})
            cursor.execute(query("rollback_times"), places)
            add_cells(cursor, ordinals, slot, policy, model_id)
        cursor.execute(query("batch_removed_clear"))
    cursor.execute(
        query("rollback_done"),
        {"ordinals": sorted(identities), "generation": generation, "restored": len(standing)},
    )


def _each(
    session: Session,
    chunk: Callable[[psycopg.Connection], int],
    advance: Callable[[int], None],
) -> None:
    while done := session.run(chunk):
        advance(done)


def _discard_shadow(connection: psycopg.Connection, *, name: str) -> int:
    gone = connection.execute(query("shadow_discard"), {"name": name, "limit": 10 * CHUNK}).rowcount
    connection.commit()
    return gone


def _discard_kept(connection: psycopg.Connection, *, generation: int) -> int:
    gone = connection.execute(
        query("kept_discard"), {"generation": generation, "limit": 10 * CHUNK}
    ).rowcount
    connection.commit()
    return gone
