"""One process of a replay of files: a file after the other, shared out by claims."""

from __future__ import annotations

import logging
import os
import socket
import time
from contextlib import suppress
from functools import partial
from threading import Event
from typing import TYPE_CHECKING, Final

from worker.batching import Item
from worker.errors import StoreUnavailableError, WorkerError
from worker.pipeline.backfill import Pace
from worker.pipeline.channels import Backoff
from worker.pipeline.labelling import label_items
from worker.posts import Post, Rejection, Skipped
from worker.posts.formats import by_topic
from worker.posts.place import Span
from worker.posts.times import to_ms
from worker.replay.files import records
from worker.replay.live import LiveLag
from worker.replay.standing import Noting
from worker.store import replays
from worker.store.interface import LabelledBatch, ReplayTurn
from worker.store.postgres import PostgresStore
from worker.store.session import Session

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import TypeVar

    from worker.classifier import Classifier
    from worker.posts import Record
    from worker.replay.files import File
    from worker.replay.standing import Standing
    from worker.settings import Settings
    from worker.store.interface import Claim
    from worker.store.replays import Replay

    T = TypeVar("T")

log = logging.getLogger(__name__)

TAKE_OVER_S: Final = 30.0
"""A file that did not move on for so long has lost its process. One that only was slow is fenced:
nothing is stored twice."""
LOOK_S: Final = 1.0
JUDGED: Final = 100
"""Lines of a batch from which on the share of rejected ones says that the file is no such file."""
BYTES: Final = 16 << 20


class FileReplaying:
    """Works on a replay of files until all are done, by whomever, or until told to stop.

    Args:
        settings: All of them.
        classifier: What labels the posts.
        replay: As `begin` returned it.
        files: Those that lie here; others' are left to others.
        rate: Posts a second that this process may take; None: as many as it can.
        most_live_lag: Records that the live stream may be behind before the replay waits for it;
            None: there is no broker to ask.
    """

    def __init__(
        self,
        settings: Settings,
        classifier: Classifier,
        replay: Replay,
        files: Sequence[File],
        *,
        rate: float | None,
        most_live_lag: int | None,
    ) -> None:
        self._classifier = classifier
        self._replay = replay
        self._files = {file.log: file for file in files}
        self._breaker_share = settings.breaker_share
        self._decode = by_topic(settings.formats or ())
        self._owner = f"{socket.gethostname()}:{os.getpid()}"
        self._stop = Event()
        self._progress = Session(settings.database, name="emotion-worker replay progress")
        self._session = Session(settings.database, name="emotion-worker replay files")
        self._store = PostgresStore(
            settings.database,
            group=replay.plan.group,
            author_key=settings.author_secret,
            store_text=settings.store_text,
        )
        self._live = None
        if most_live_lag is not None:
            watching = Session(settings.database, name="emotion-worker replay live lag")
            self._live = LiveLag(settings, watching, most_live_lag)
        self._pace = Pace(rate, self._waits)

    def stop(self) -> None:
        """Ends this process's work after the batch at hand; safe to call from a signal handler."""
        self._stop.set()

    def _waits(self) -> bool:
        return self._live is not None and self._live.yields()

    def run(
        self, *, ready: Callable[[], None] | None = None, report: Callable[[Standing], None]
    ) -> tuple[Standing, bool]:
        """Works.

        Args:
            ready: Called once there is work to finish.
            report: Called with how far the replay is, from another thread.

        Returns:
            How far it is in the end, and whether it has read all.

        Raises:
            WorkerError: What it cannot go on from, or the replay was taken away.
        """
        noting = Noting(
            self._progress,
            self._replay.plan.name,
            report=report,
            stop=self.stop,
            waits=self._waits,
        )
        if ready is not None:
            ready()
        try:
            with noting:
                if self._live is None:
                    self._work()
                else:
                    with self._live:
                        self._work()
        finally:
            self._store.close()
            self._session.close()
        return noting.final()

    def _work(self) -> None:
        while not self._stop.is_set():
            claim, left = self._patiently(self._claim)
            if claim is not None:
                self._read(claim)
            elif left:
                self._stop.wait(LOOK_S)
            else:
                return

    def _claim(self) -> tuple[Claim | None, bool]:
        """A file that nobody works on; whether any is left at all."""
        name = self._replay.plan.name
        stretches = self._session.run(lambda c: replays.read_stretches(c, name))
        todo = [one for one in stretches if one.left]
        for one in todo:
            free = one.owner is None or (one.idle_s or 0.0) > TAKE_OVER_S
            if free and one.partition in self._files:
                take = partial(
                    replays.claim_file,
                    log=one.partition,
                    group=self._replay.plan.group,
                    owner=self._owner,
                    idle_s=TAKE_OVER_S,
                )
                claim = self._session.run(take)
                if claim is not None:
                    return claim, True
        if todo and not any(one.owner or one.partition in self._files for one in todo):
            raise WorkerError(
                f"The replay {name} has {len(todo)} files left that are not among these: name all "
                "that it was begun with."
            )
        return None, bool(todo)

    def _read(self, claim: Claim) -> None:
        group = self._replay.plan.group
        try:
            self._read_on(claim)
        finally:
            # Not waited for: where the database is away, the next one waits for `TAKE_OVER_S`.
            with suppress(StoreUnavailableError):
                self._session.run(lambda c: replays.release(c, claim, group))

    def _read_on(self, claim: Claim) -> None:
        file = self._files[claim.partition]
        position = claim.next_offset or 0
        log.info("reading", extra={"file": str(file.path), "line": position + 1})
        for found, end in self._batches(file, position):
            items = [
                item
                for one in found
                if (item := self._item(one)) is not None and self._wanted(item)
            ]
            self._judge(file, items)
            entries = tuple(label_items(self._classifier, items))
            plan = self._replay.plan
            batch = LabelledBatch(
                (Span(claim.partition, claim.epoch, position, end, None),),
                entries,
                plan.model_id,
                self._replay.generation or 0,
                replay=ReplayTurn(plan.name, self._replay.revision),
                shadow=plan.kind == "shadow",
                keeps_topics=True,
            )
            if self._patiently(lambda batch=batch: self._store.write(batch)).fenced:  # type: ignore[misc]
                log.info("another process took a file over", extra={"file": str(file.path)})
                return
            position = end
            self._pace.took(sum(isinstance(item.decoded, Post) for item in items))
            self._keep_pace(claim)
            if self._stop.is_set():
                return

    def _keep_pace(self, claim: Claim) -> None:
        """Waits as long as it should, and says now and then that the file is not given up."""
        touched = time.monotonic()
        while self._pace.waits() and not self._stop.wait(0.05):
            if time.monotonic() - touched > TAKE_OVER_S / 3:
                touched = time.monotonic()
                with suppress(StoreUnavailableError):
                    self._session.run(
                        lambda c: replays.touch_file(c, claim, self._replay.plan.group)
                    )

    def _batches(self, file: File, start: int) -> Iterator[tuple[list[Record], int]]:
        """What one pass labels, and the line after it; the last one goes to the file's end."""
        most = self._classifier.policy.posts
        found: list[Record] = []
        size = 0
        # A time to measure others by: what lies later than an hour after it is no post of a file.
        begun_ms = to_ms(self._replay.created_at)
        for record in records(file, start, begun_ms):
            found.append(record)
            size += len(record.value or b"")
            if len(found) >= most or size >= BYTES:
                yield found, record.ref.offset + 1
                found, size = [], 0
        if found or start < file.lines:
            yield found, file.lines

    def _item(self, record: Record) -> Item | None:
        decoded = self._decode(record)
        return None if isinstance(decoded, Skipped) else Item(record, decoded)

    def _wanted(self, item: Item) -> bool:
        """Records of files have no timestamps: a post's own time decides."""
        plan, post = self._replay.plan, item.decoded
        if not isinstance(post, Post):
            return True
        return (plan.since is None or post.created_at >= plan.since) and (
            plan.until is None or post.created_at < plan.until
        )

    def _judge(self, file: File, items: Sequence[Item]) -> None:
        rejected = [item.decoded for item in items if isinstance(item.decoded, Rejection)]
        share = self._breaker_share
        if share and len(items) >= JUDGED and len(rejected) >= share * len(items):
            raise WorkerError(
                f"{file.path}: {len(rejected)} of {len(items)} lines are no posts, the first from "
                f"line {rejected[0].ref.offset + 1} on: {rejected[0].detail} Nothing of them was "
                "stored. Is it the right file, and WORKER_FORMATS its format?"
            )

    def _patiently(self, work: Callable[[], T]) -> T:
        backoff, away = Backoff(0.1, 5.0), False
        while True:
            try:
                return work()
            except StoreUnavailableError as error:
                if self._stop.is_set():
                    raise
                if not away:
                    log.warning("the database is away; waiting for it", extra={"error": str(error)})
                away = True
                time.sleep(backoff.next_s())
