"""What a replay reads, decided once: whoever joins it later reads the same."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from worker.errors import SettingsError, WorkerError
from worker.pipeline.backfill import Window
from worker.posts.place import Partition
from worker.posts.times import to_ms
from worker.source.lookup import offsets_at, topic_log
from worker.store import replays
from worker.store.replays import Plan

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from datetime import datetime

    from worker.replay.files import File
    from worker.settings import Settings
    from worker.source.lookup import TopicLog
    from worker.store.replays import Kind, Replay
    from worker.store.session import Session

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked for; what is None was not said.

    Attributes:
        name: What the replay is called.
        shadow: Whether it keeps its own labels.
        topics: What to read.
        since: The first timestamp of its records.
        until: The first that is too late; None: up to the end that the logs have now.
        resume: Whether one that was begun before is to read on, to `until`.
        files: What to read, where it is no topic: `since` and `until` are then of the posts' own
            times.
    """

    name: str
    shadow: bool = False
    topics: tuple[str, ...] = ()
    since: datetime | None = None
    until: datetime | None = None
    resume: bool = False
    files: tuple[File, ...] = ()


def begin(
    settings: Settings,
    session: Session,
    request: Request,
    *,
    model_id: int,
) -> Replay:
    """Makes the replay, or joins the one of that name.

    Args:
        settings: Where the broker is.
        session: With the database.
        request: What was asked for.
        model_id: The classifier's row.

    Raises:
        SettingsError: The name or the range cannot be.
        WorkerError: There is another replay of that name, or the range lies below the label floor.
        DependencyError: The broker or the database cannot be reached.
    """
    check(request)
    found = session.run(lambda c: replays.read_replays(c, request.name))
    if found:
        return _join(settings, session, found[0], request, model_id=model_id)
    if request.resume:
        raise WorkerError(
            f"There is no replay {request.name} to resume. `emotion-worker replays` lists them; "
            "without --resume it is begun."
        )
    kind: Kind = "shadow" if request.shadow else "in_place"
    plan = Plan(
        name=request.name,
        kind=kind,
        group=f"{settings.group}.replay.{request.name}",
        topics=request.topics or settings.topics,
        since=request.since,
        until=request.until,
        model_id=model_id,
        files=bool(request.files),
    )
    _above_floor(session, plan)
    logs = _logs(settings, plan, request, plan.since)
    made = session.run(lambda c: replays.create(c, plan, logs))
    found = session.run(lambda c: replays.read_replays(c, request.name))
    if not found:
        raise SettingsError(
            f"--name {request.name}: another replay has the consumer group {plan.group} already. "
            "Take another name."
        )
    if not made:  # somebody was faster; what they captured counts
        return _join(settings, session, found[0], request, model_id=model_id)
    return found[0]


def _logs(
    settings: Settings,
    plan: Plan,
    request: Request,
    since: datetime | None,
) -> dict[Partition, tuple[int, int]]:
    if request.files:
        return {file.log: (0, file.lines) for file in request.files}
    return capture(settings, plan.topics, since)


def check(request: Request) -> None:
    """Makes sure that a group and a row can be called so, and that there is a range.

    Raises:
        SettingsError: They cannot, or there is none.
    """
    if request.since and request.until and request.since >= request.until:
        raise SettingsError("--from must be before --to.")
    if _NAME.fullmatch(request.name) is None:
        raise SettingsError(
            f"--name {request.name!r}: use 1 to 100 letters, digits, dots, dashes and underscores, "
            "the first a letter or digit."
        )


def capture(
    settings: Settings,
    topics: Sequence[str],
    since: datetime | None,
) -> dict[Partition, tuple[int, int]]:
    """First offset and end of each partition: from the first record of `since` on, to the end."""
    found: dict[Partition, tuple[int, int]] = {}
    for topic in topics:
        log = topic_log(settings, topic)
        starts = {number: first for number, (first, _) in log.bounds.items()}
        if since is not None:
            starts = offsets_at(settings, log, sorted(log.bounds), to_ms(since))
        found |= _bounded(log, starts)
    return found


def _bounded(log: TopicLog, starts: Mapping[int, int]) -> dict[Partition, tuple[int, int]]:
    return {
        Partition(log.topic, log.topic_id, number): (starts[number], end)
        for number, (_, end) in log.bounds.items()
    }


def window(ends: Mapping[Partition, int], since: datetime | None, until: datetime | None) -> Window:
    """What of the logs lies before `ends` and is of these times."""
    return Window(
        ends,
        None if since is None else to_ms(since),
        None if until is None else to_ms(until),
    )


def _above_floor(session: Session, plan: Plan) -> None:
    floor = session.run(replays.label_floor)
    if floor is None:
        return
    if (plan.until is not None and plan.until <= floor) or (
        plan.since is not None and plan.since < floor
    ):
        raise WorkerError(
            f"The range lies below {floor:%Y-%m-%dT%H:%M:%SZ}: retention has taken the labels "
            "before it, and trends without them could not be checked. Use --from "
            f"{floor:%Y-%m-%dT%H:%M:%SZ} or later (WORKER_RETENTION_DAYS)."
        )


def _join(
    settings: Settings,
    session: Session,
    replay: Replay,
    request: Request,
    *,
    model_id: int,
) -> Replay:
    plan = replay.plan
    if replay.state not in {"running", "finished"}:
        raise WorkerError(
            f"The replay {plan.name} is {replay.state.replace('_', ' ')}: it reads nothing more. "
            "Begin another, with another --name."
        )
    if plan.model_id != model_id:
        raise WorkerError(
            f"The replay {plan.name} labels with {replay.model}, not with this model. Give it "
            "that --model, or begin another replay, with another --name."
        )
    if plan.files != bool(request.files):
        raise WorkerError(
            f"The replay {plan.name} reads {'files' if plan.files else 'topics'}: join it with the "
            "same, or take another --name."
        )
    known = {one.partition for one in session.run(lambda c: replays.read_stretches(c, plan.name))}
    if others := [str(file.path) for file in request.files if file.log not in known]:
        raise WorkerError(
            f"The replay {plan.name} does not read {', '.join(others)}: it was begun without, or "
            "with another content. Begin another for these, with another --name."
        )
    asked = replace(
        plan,
        kind="shadow" if request.shadow else plan.kind,
        topics=request.topics or plan.topics,
        since=request.since or plan.since,
        until=request.until if request.resume else request.until or plan.until,
    )
    if asked.kind != plan.kind or asked.topics != plan.topics or asked.since != plan.since:
        raise WorkerError(
            f"There is a replay {plan.name} that reads something else: `emotion-worker replays "
            f"show {plan.name}` says what. Ask for the same to join it, or take another --name."
        )
    if not request.resume:
        if asked.until != plan.until:
            raise WorkerError(
                f"The replay {plan.name} ends "
                + ("at the end of its logs" if plan.until is None else f"at {plan.until:%FT%TZ}")
                + ". --resume lets it read on to another --to."
            )
        return replay
    _extend(
        session,
        asked,
        before=plan.until,
        known=known,
        capture_from=lambda since: _logs(settings, asked, request, since),
    )
    return session.run(lambda c: replays.read_replays(c, plan.name))[0]


def _extend(
    session: Session,
    asked: Plan,
    *,
    before: datetime | None,
    known: Collection[Partition],
    capture_from: Callable[[datetime | None], dict[Partition, tuple[int, int]]],
) -> None:
    """Lets it read to the ends that the logs have now; what it passed over as too late, again.

    Args:
        session: With the database.
        asked: As it is to be from now on.
        before: Where its range ended.
        known: The partitions that it reads.
        capture_from: First offset and end of each partition, from a time on.
    """
    if before is not None and asked.until is not None and asked.until < before:
        raise WorkerError(
            f"The replay {asked.name} has read to {before:%FT%TZ} already; --to must be later."
        )
    logs = capture_from(before or asked.since)
    if before is not None and (new := logs.keys() - known):
        # Partitions that came since are read from the beginning of the range.
        whole = capture_from(asked.since)
        logs |= {place: whole[place] for place in new if place in whole}
    again = {} if before is None or asked.until == before else logs
    session.run(lambda c: replays.extend(c, asked, logs, again=again))
