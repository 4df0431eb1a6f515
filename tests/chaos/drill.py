"""One drill: a stream, a group of workers, faults by seed, and in the end the comparison."""

from __future__ import annotations

import tempfile
import threading
import time
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import psycopg

from tests.chaos import journal
from tests.chaos.erasing import Erasures
from tests.chaos.faults import CATALOGUE, Field
from tests.chaos.ground import Ground
from tests.chaos.judgement import judge, positions_of
from tests.chaos.plan import Outcome, Plan, Round
from tests.chaos.proxy import Proxy
from tests.chaos.replaying import Replaying
from tests.chaos.setting import make_feed, through_proxy, worker_settings
from tests.chaos.workers import Fleet

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.chaos.oracle import Place

STEADY, QUICK_S = 3, 1.5
"""So many times in a row, what was just sent must be stored within this time."""
CALM_S, SLOWEST = 12.0, 15.0
BEGIN_S = 180.0
HOPELESS = 5
"""So many workers ended on their own: the rest would do the same."""
PATIENCE_S = 70.0
"""Over the limit for recovery, before a drill gives up on a group that stands still: by then the
workers' own watchdogs have logged where they stand."""


class Drill:
    """Runs one plan, once."""

    def __init__(
        self,
        plan: Plan,
        environment: Mapping[str, str],
        *,
        say: Callable[[str], None] = print,
        logs: Path | None = None,
    ) -> None:
        self._plan = plan
        self._logs = logs
        self._random = Random(plan.seed)
        self._ground = Ground(environment)
        self._say = say
        self._rounds: list[Round] = []
        self._problems: list[str] = []
        self._deadlocks = 0
        self._skipped: tuple[str, ...] = ()
        self._erasures = Erasures()

    def run(self) -> Outcome:
        """The whole drill.

        Raises:
            Exception: The suite itself failed; what the workers do wrong is in the outcome.
        """
        started = time.monotonic()
        with ExitStack() as stack:
            folder = self._logs
            if folder is None:
                made = tempfile.TemporaryDirectory(prefix="ew-chaos-log-")
                folder = Path(stack.enter_context(made))
            self._enter(stack, folder)
            self._field.feed.start(self._plan.rate)
            if not self._begun():
                self._problems.append("the group never began")
            elif self._plan.replay:
                self._strike_beside_a_replay()
            else:
                self._strike_all()
            self._field.feed.pause()
            if not self._caught_up():
                self._problems.append(f"the group stands still at {self._behind()}")
            self._field.fleet.stop()
            self._look()
            judged = judge(self._field, self._erasures)
            return Outcome(
                plan=self._plan,
                compared=judged.compared,
                seconds=time.monotonic() - started,
                session_s=self._field.session_s,
                rounds=[
                    replace(r, recovery_s=journal.longest_gap(judged.commits, r.start, r.end))
                    for r in self._rounds
                ],
                skipped=self._skipped,
                problems=[
                    *self._problems,
                    *judged.problems,
                    *self._erasures.problems,
                    *self._field.fleet.problems,
                    *([f"{self._deadlocks} deadlocks"] if self._deadlocks else []),
                ],
                said=self._field.fleet.said(),
                answers_lost=self._field.proxy.lost,
                gave_up=self._field.fleet.gave_up,
            )

    def _enter(self, stack: ExitStack, folder: Path) -> None:
        plan, ground = self._plan, stack.enter_context(self._ground)
        self._reader: psycopg.Connection | None = None
        stack.callback(self._forget_reader)
        feed = make_feed(plan, ground)
        stack.callback(feed.close)
        proxy = stack.enter_context(Proxy(ground.postgres_address))
        proxy.delay_s = plan.delay_s
        url = through_proxy(ground.url, proxy.port)
        settings = worker_settings(plan, ground, feed)
        fleet = stack.enter_context(Fleet(settings, url, folder, plan.guard))
        few, first, many = plan.workers
        for _ in range(first):
            fleet.start()
        self._field = Field(ground, proxy, feed, fleet, few, many)

    # The faults

    def _schedule(self) -> tuple[list[tuple[str, ...]], tuple[str, ...]]:
        """The rounds, in order: most of one fault, some of two or three."""
        plan = self._plan
        skipped = tuple(name for name in plan.faults if not CATALOGUE[name].possible(self._ground))
        left = [name for name in plan.faults if name not in skipped] * plan.each
        self._random.shuffle(left)
        rounds: list[tuple[str, ...]] = []
        while left:
            size = self._random.choice([2, 3]) if self._random.random() < plan.together else 1
            rounds.append(tuple(left[:size]))
            del left[:size]
        return rounds, skipped

    def _strike_beside_a_replay(self) -> None:
        feed, fleet = self._field.feed, self._field.fleet
        with Replaying(fleet, self._plan.seed, feed.topics) as replaying:
            self._strike_all()
            replaying.finish()
        self._problems += replaying.problems
        self._say(f"replayed beside it; its processes were killed {replaying.kills} times")

    def _strike_all(self) -> None:
        rounds, self._skipped = self._schedule()
        for number, faults in enumerate(rounds, 1):
            time.sleep(self._random.uniform(0, 0.8))
            forgetting = None
            if self._random.random() < self._plan.forgets:
                forgetting = self._erasures.begin(self._field.fleet, self._field.feed, self._random)
            start = time.time()
            self._strike(faults, number)
            over = time.time()
            if forgetting is not None:
                forgetting.join()
            if self._plan.calm and not self._caught_up():
                self._problems.append(
                    f"after {', '.join(faults)}: stands still at {self._behind()}"
                )
                return
            if self._plan.calm:
                self._calm()
            self._rounds.append(Round(faults, start, time.time()))
            self._say(
                f"{number:4}/{len(rounds)} {' + '.join(faults)}: {over - start:.1f} s, "
                f"caught up after {time.time() - over:.1f} s"
            )

    def _strike(self, faults: tuple[str, ...], number: int) -> None:
        def one(name: str, place: int) -> None:
            try:
                chance = Random(f"{self._plan.seed} {number} {place}")
                CATALOGUE[name].strike(self._field, chance)
            except Exception as error:
                broken.append(error)

        broken: list[Exception] = []
        threads = [
            threading.Thread(target=one, args=(name, place), name=name)
            for place, name in enumerate(faults)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if broken:
            raise broken[0]

    # Progress

    def _look(self) -> dict[Place, int]:
        """Where the group stands; nowhere, while the database is away."""
        try:
            if self._reader is None:
                self._reader = self._ground.connect()
            (deadlocks,) = self._reader.execute(
                "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
            ).fetchall()
            # A crash sets the server's counters to zero.
            self._deadlocks = max(self._deadlocks, *deadlocks)
            return positions_of(self._reader)
        except psycopg.OperationalError:
            self._forget_reader()
            return {}

    def _forget_reader(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            with suppress(psycopg.Error):
                reader.close()

    def _calm(self) -> None:
        """Waits until no partition waits for anything: each fault is blamed for its own only.

        A machine that has other work to do, and does not keep up, gets a slower stream.
        """
        deadline = time.monotonic() + CALM_S
        quick = 0
        while quick < STEADY:
            if time.monotonic() > deadline:
                self._field.feed.rate = max(SLOWEST, self._field.feed.rate / 2)
                return
            asked = time.monotonic()
            time.sleep(0.3)
            quick = quick + 1 if self._caught_up() and time.monotonic() < asked + QUICK_S else 0

    def _begun(self) -> bool:
        """Waits until each partition was claimed and something of it stored."""
        places = self._field.feed.ends().keys()
        deadline = time.monotonic() + BEGIN_S
        while not all(self._look().get(place, 0) for place in places):
            self._field.fleet.replace_ended()
            if time.monotonic() > deadline or len(self._field.fleet.problems) >= HOPELESS:
                return False
            time.sleep(0.1)
        return True

    def _caught_up(self) -> bool:
        """Waits until all that is in the living logs now was stored.

        False if a partition that is behind does not move, though all others may.
        """
        ends = self._field.feed.ends()
        patience = self._field.session_s + 10 + PATIENCE_S
        moved: dict[Place, tuple[int, float]] = {}
        while True:
            self._field.fleet.replace_ended()
            positions, now = self._look(), time.monotonic()
            behind = [place for place, end in ends.items() if positions.get(place, -1) < end]
            if not behind:
                return True
            if len(self._field.fleet.problems) >= HOPELESS:
                return False
            for place in behind:
                position = positions.get(place, -1)
                if moved.get(place, (None,))[0] != position:
                    moved[place] = (position, now)
                elif now > moved[place][1] + patience:
                    return False
            time.sleep(0.1)

    def _behind(self) -> str:
        """Which partitions are behind, and what the workers' sessions in the database wait for."""
        positions, ends = self._look(), self._field.feed.ends()
        places = ", ".join(
            f"{place[0]}/{place[2]} {positions.get(place)} of {end}"
            for place, end in ends.items()
            if positions.get(place, -1) < end
        )
        with self._ground.connect() as connection:
            sessions = connection.execute(
                "SELECT state, wait_event_type, wait_event, left(query, 40) FROM pg_stat_activity "
                "WHERE datname = current_database() AND application_name LIKE 'emotion-worker%'"
            ).fetchall()
        return f"{places}; in the database: {sessions}"
