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
    _older(session, name)
    _each(session, partial(_promote, session=session, name=name), advance)
    _set(session, name, "promoting", after="promoted")
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
    _each(session, partial(_rollback, session=session, name=name), advance)
    # A promotion that was stopped half-way has labels left that were never put in place.
    _each(session, partial(_discard_shadow, name=name), lambda _: None)
    _set(session, name, "rolling_back", after="rolled_back")
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
    _each(session, partial(_discard_shadow, name=name), advance)
    if found.generation is not None:
        _each(session, partial(_discard_kept, generation=found.generation), advance)
    session.run(lambda c: replays.retire(c, name))
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
        "promoting": "It is being promoted: run `replays promote` to its end, or take it back "
        "with `replays rollback`.",
        "rolling_back": "It is being rolled back: run `replays rollback` to its end first.",
        "discarded": "What it kept is gone; a newer promotion gives up what older ones kept.",
    }.get(state, "Begin another, with another --name.")
    raise WorkerError(f"The replay {name} is {state.replace('_', ' ')} and cannot be {to}. {hint}")


def _older(session: Session, name: str) -> None:
    """Gives up what older promotions kept: only the newest can be rolled back."""
    for other in session.run(replays.read_replays):
        if other.plan.name != name and other.state == "promoted":
            discard(session, other.plan.name, lambda _: None)


def _each(
    session: Session,
    chunk: Callable[[psycopg.Connection], int],
    advance: Callable[[int], None],
) -> None:
    while done := session.run(chunk):
        advance(done)


def _promote(connection: psycopg.Connection, *, session: Session, name: str) -> int:
    with connection.cursor(binary=True) as cursor:
        share_policy(cursor)
        policy = read_policy(cursor)
        row = cursor.execute(query("replay_lock"), {"name": name}).fetchone()
        assert row is not None
        generation, model_id = int(str(row[0])), int(str(row[1]))
        loaded = cursor.execute(
            query("promote_load"), {"replay": name, "generation": generation, "limit": CHUNK}
        ).fetchall()
        if loaded:
            done = _put_in_place(
                cursor,
                loaded,
                policy,
                session=session,
                generation=generation,
                model_id=model_id,
                files=bool(row[2]),
            )
            cursor.execute(
                query("promote_done"),
                {"replay": name, "promoted": done, "superseded": len(loaded) - done},
            )
    connection.commit()
    return len(loaded)


def _put_in_place(
    cursor: Cursor,
    loaded: list[tuple[object, ...]],
    policy: Policy,
    *,
    session: Session,
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
    add_cells(cursor, ordinals, session.slot, policy, model_id)
    return len(ordinals)


def _rollback(connection: psycopg.Connection, *, session: Session, name: str) -> int:
    with connection.cursor(binary=True) as cursor:
        share_policy(cursor)
        policy = read_policy(cursor)
        row = cursor.execute(query("replay_lock"), {"name": name}).fetchone()
        assert row is not None
        generation = int(str(row[0]))
        chosen = cursor.execute(
            query("rollback_next"), {"generation": generation, "limit": CHUNK}
        ).fetchall()
        done = 0
        if chosen:
            keys = [(str(platform), str(post_id)) for platform, post_id in chosen]
            done = _take_back(cursor, keys, policy, session=session, generation=generation)
    connection.commit()
    return done


def _take_back(
    cursor: Cursor,
    keys: list[tuple[str, str]],
    policy: Policy,
    *,
    session: Session,
    generation: int,
) -> int:
    """Takes back those of the first one's model: a transaction's labels are all of one."""
    stored = lock_identities(cursor, keys)
    kept = cursor.execute(
        query("rollback_load"), {**columns(keys), "generation": generation}
    ).fetchall()
    if not kept:
        raise ErasedMeanwhileError
    model_id = kept[0][4]
    mine = [row for row in kept if row[4] == model_id]
    standing = {
        int(str(row[0])): one
        for row in mine
        if (one := stored.get((str(row[1]), str(row[2])))) is not None
        and one.live
        and one.generation == generation
        and not policy.dropped(one)
    }
    identities = {int(str(row[0])): (str(row[1]), str(row[2])) for row in mine}
    remove_labels(
        cursor, {identities[ordinal]: one.created_at for ordinal, one in standing.items()}
    )
    back = sorted(standing) if model_id is not None else []
    if model_id is None:
        cursor.execute(query("rollback_added"), {"ordinals": sorted(standing)})
    else:
        cursor.execute(query("update_identities"), {"ordinals": back})
        cursor.execute(query("insert_labels"), {"ordinals": back, "model_id": model_id})
        cursor.execute(query("rollback_times"), {"ordinals": back, "generation": generation})
    if standing:
        add_cells(
            cursor,
            back,
            session.slot,
            policy,
            None if model_id is None else int(str(model_id)),
        )
    cursor.execute(
        query("rollback_done"),
        {"ordinals": sorted(identities), "generation": generation, "restored": len(standing)},
    )
    return len(mine)


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
