"""The worker: its threads, the loop around the poll stage's turn, and the way it ends."""

from __future__ import annotations

import logging
import os
import socket
import time
from contextlib import ExitStack, suppress
from queue import Full
from threading import Thread
from typing import TYPE_CHECKING, Final

from worker.batching import Batcher, Limits
from worker.errors import DependencyError, SourceUnavailableError, StoreUnavailableError
from worker.health import Health
from worker.metrics import Metrics
from worker.pipeline.breaker import BreakerTrippedError
from worker.pipeline.channels import Backoff, Channels
from worker.pipeline.classify import ClassifyStage
from worker.pipeline.poll import PollStage
from worker.pipeline.store import StoreStage
from worker.pipeline.upkeep import Upkeep
from worker.pipeline.watchdog import Watchdog
from worker.posts.formats import by_topic
from worker.serving import serve
from worker.source.assignment import Assignment
from worker.source.consumer import KafkaSource
from worker.source.letters import LetterTopic
from worker.store.maintain import Keep
from worker.store.postgres import PostgresStore
from worker.store.session import Session

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from worker.classifier import Classifier
    from worker.pipeline.backfill import Backfill
    from worker.posts.place import Partition
    from worker.settings import Settings
    from worker.store.interface import Claim

log = logging.getLogger(__name__)

STOP_S: Final = 9.0
"""All of a stop, under the 10 s that are promised: finishing, then leaving the group. Leaving takes
what is left, for it waits behind a join that is under way."""
FINISH_S: Final = 6.0
"""Of that, what was read is finished for so long; the rest is read again by its next owner."""
THREADS_S: Final = 1.0
"""For a stage that was told to give up to get out of its transaction or forward pass."""
TRIP_S: Final = 3.0
"""The same, where the circuit breaker's mark is to be left after them."""
LETTERS_S: Final = 1.0
"""For dead letters that are still on the way to their topic."""
NOBODY_SESSIONS: Final = 4
"""Session timeouts after which a partition that nobody claims and that has records to read counts
as nobody's: one to notice that its owner died, one for each of the two rounds of a cooperative
rebalance, and one for the claim and the first batch. WORKER_STALL_SECONDS at most."""
TOPIC_S: Final = 15.0
"""How long `--drain` waits for a topic to be known, as one that was created a moment ago."""


class Worker:
    """Joins the group and works until told to stop.

    Args:
        settings: All of them.
        classifier: What labels the posts.
        backfill: For a replay, what it reads, and how; None works on the live stream.

    Raises:
        DependencyError: The broker or the database cannot be reached.
    """

    def __init__(
        self, settings: Settings, classifier: Classifier, *, backfill: Backfill | None = None
    ) -> None:
        self._settings = settings
        self._classifier = classifier
        self._backfill = backfill
        self._metrics = Metrics()
        self._health = Health(settings.stall_seconds)
        self._channels = Channels(metrics=self._metrics, health=self._health)
        self._assignment = Assignment()
        self._stopped_at: float | None = None
        self._letters: LetterTopic | None = None
        self._store = PostgresStore(
            settings.database,
            group=settings.group,
            author_key=settings.author_secret,
            store_text=settings.store_text,
            again=lambda: self._health.beat("store"),
        )

    def stop(self) -> None:
        """Ends the work within 10 s; safe to call from a signal handler."""
        self._since_stop()
        self._channels.stopping.set()

    def _since_stop(self) -> float:
        if self._stopped_at is None:
            self._stopped_at = time.monotonic()
        return time.monotonic() - self._stopped_at

    def run(self, *, drain: bool = False, ready: Callable[[], None] | None = None) -> None:
        """Works until `stop`, or, with `drain`, until the group has reached today's ends.

        Args:
            drain: Stop once every partition's stored position has reached the end offset that
                it had at the start, whoever got it there.
            ready: Called once the group is being joined.

        Raises:
            WorkerError: What the worker cannot go on from.
        """
        info = self._classifier.info
        self._metrics.runs(
            self._settings.topics, name=info.name, version=info.version, device=info.device
        )
        stall_s = self._settings.stall_seconds
        with ExitStack() as around:
            serving = serve(self._settings, self._metrics, self._health)
            if serving is not None:
                around.enter_context(serving)
            around.enter_context(Watchdog(self._health, self._metrics, stall_s / 4))
            self._store.open()
            self._health.up("database")
            self._work(self._store.register_model(info), drain=drain, ready=ready)

    def _work(self, model_id: int, *, drain: bool, ready: Callable[[], None] | None) -> None:
        source = KafkaSource(self._settings, self._assignment)
        if topic := self._settings.dead_letter_topic:
            self._letters = LetterTopic(self._settings, topic, failed=self._metrics.not_mirrored)
        threads: list[Thread] = []
        tripped: tuple[Claim, ...] = ()
        try:
            backfill = self._backfill
            targets = self._targets(source) if drain else None
            policy = self._classifier.policy
            lateness_s = self._settings.allowed_lateness_seconds
            poll = PollStage(
                source,
                self._assignment,
                Batcher(
                    Limits(policy.tokens, policy.posts, policy.linger_s), lateness_s, time.monotonic
                ),
                self._channels,
                reset=self._settings.auto_offset_reset,
                adopt=self._settings.adopt_committed,
                lateness_s=lateness_s,
                breaker_share=self._settings.breaker_share,
                decode=by_topic(self._settings.formats or ()),
                stall_s=self._settings.stall_seconds,
                nobody_s=NOBODY_SESSIONS * self._settings.kafka_session_timeout_ms / 1_000,
                targets=targets,
                window=None if backfill is None else backfill.window,
            )
            threads = self._threads(model_id)
            self._keep_up()
            if ready is not None:
                ready()
            self._loop(poll)
            self._finish(poll, threads)
        except BreakerTrippedError as error:
            tripped = error.claims
            raise
        finally:
            self._channels.stopping.set()
            self._health.stopping()
            self._channels.abandoned.set()
            for thread in threads:
                thread.join(TRIP_S if tripped else THREADS_S)
            self._trip(tripped, threads)
            if self._letters is not None:
                self._letters.close(LETTERS_S)
            source.close(max(1.0, STOP_S - self._since_stop()))
            if not any(thread.is_alive() for thread in threads):
                self._store.close()
        if self._channels.failed:
            raise self._channels.failed[0]

    def _trip(self, claims: tuple[Claim, ...], threads: list[Thread]) -> None:
        """Leaves a mark for the next start, best effort: after all that was under way."""
        if not claims:
            return
        why = "a transaction is still under way"
        if not any(thread.is_alive() for thread in threads):
            try:
                self._store.trip(claims)
            except StoreUnavailableError as error:
                why = str(error)
            else:
                return
        log.warning("the circuit breaker left no mark for the next start", extra={"why": why})

    def _threads(self, model_id: int) -> list[Thread]:
        backfill = self._backfill
        classify = ClassifyStage(
            self._classifier,
            model_id,
            self._assignment,
            self._channels,
            generation=0 if backfill is None else backfill.generation,
            replay=None if backfill is None else backfill.replay,
            shadow=backfill is not None and backfill.shadow,
            pace=None if backfill is None else backfill.pace,
        )
        store = StoreStage(
            self._store,
            group=self._settings.group,
            topics=self._settings.topics,
            owner=f"{socket.gethostname()}:{os.getpid()}",
            assignment=self._assignment,
            channels=self._channels,
            letters=self._letters,
        )
        threads = [
            Thread(target=self._guarded, args=(stage.run,), name=name, daemon=True)
            for name, stage in (("classify", classify), ("store", store))
        ]
        for thread in threads:
            thread.start()
        return threads

    def _keep_up(self) -> None:
        """Starts the upkeep. Nobody waits for its thread: what it leaves undone, the next does."""
        every_s = self._settings.maintain_seconds
        if every_s:
            upkeep = Upkeep(
                Session(self._settings.database, name="emotion-worker upkeep"),
                Keep.of(self._settings),
                every_s=every_s,
                stopping=self._channels.stopping,
            )
            Thread(target=upkeep.run, name="upkeep", daemon=True).start()

    def _guarded(self, run: Callable[[], None]) -> None:
        try:
            run()
        except BaseException as error:
            self._channels.failed.append(error)
            self._channels.stopping.set()
            self._channels.abandoned.set()

    def _loop(self, poll: PollStage) -> None:
        # From a blink to what a broker's restart takes.
        backoff, away = Backoff(0.1, 5.0), False
        self._health.up("broker")
        pulse = self._health.pulse("poll")
        while not self._channels.stopping.is_set():
            pulse.beat()
            try:
                poll.turn()
            except SourceUnavailableError as error:
                if not away:
                    log.warning("the broker is away; waiting for it", extra={"error": str(error)})
                away = True
                self._health.down("broker", str(error))
                poll.away()
                pulse.wait(self._channels.stopping, backoff.next_s())
                continue
            if away:
                log.warning("the broker is back")
                self._health.up("broker")
            away = False
            backoff.reset()
            if poll.drained:
                # Windows that ended before the drain did are complete: a drained stream says so.
                with suppress(SourceUnavailableError):
                    poll.beat()
                return

    def _finish(self, poll: PollStage, threads: list[Thread]) -> None:
        """Stores what was read, for a while; then gives up, for nothing is lost by it."""
        self._channels.stopping.set()
        self._health.stopping()
        self._health.ended("poll")
        deadline = time.monotonic() + FINISH_S - self._since_stop()
        poll.finish()
        while not poll.idle and time.monotonic() < deadline and not self._channels.failed:
            time.sleep(0.02)
            poll.finish()
        # Nobody takes anything more once a stage has failed, and the group waits for us.
        while time.monotonic() < deadline and not self._channels.failed:
            with suppress(Full):
                self._channels.batches.put(None, timeout=0.1)
                break
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        poll.finish()
        poll.mirror()

    def _targets(self, source: KafkaSource) -> Mapping[Partition, int]:
        if self._backfill is not None:
            return self._backfill.window.ends
        deadline = time.monotonic() + TOPIC_S
        targets: dict[Partition, int] = {}
        for topic in self._settings.topics:
            while not (places := source.siblings(topic)):
                if time.monotonic() > deadline:
                    raise DependencyError(
                        f"The topic {topic} does not exist at {self._settings.kafka}, so there is "
                        "nothing to drain. Create it, or mend WORKER_TOPICS."
                    )
                time.sleep(0.2)
            for place, end in source.ends_by_reading(places).items():
                known = source.partition(place)
                assert known is not None, "a topic's partitions are known with its id"
                targets[known[0]] = end
        return targets
