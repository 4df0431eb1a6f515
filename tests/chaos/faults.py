"""The catalogue of faults: what each one does, as data. None knows of another."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.chaos.workers import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from random import Random

    from tests.chaos.feed import Feed
    from tests.chaos.ground import Ground
    from tests.chaos.proxy import Proxy
    from tests.chaos.workers import Fleet


@dataclass(frozen=True, slots=True)
class Field:
    """What faults strike at."""

    ground: Ground
    proxy: Proxy
    feed: Feed
    fleet: Fleet
    few: int
    many: int

    @property
    def session_s(self) -> float:
        return self.ground.session_ms / 1_000


@dataclass(frozen=True, slots=True)
class Fault:
    """One kind of fault.

    Attributes:
        name: In reports and plans.
        what: What happens, in a sentence.
        strike: Does it, and mends what it broke; returns when it is over.
        own_broker: It can only be done to a broker of ours.
        own_postgres: It can only be done to a Postgres of ours.
    """

    name: str
    what: str
    strike: Callable[[Field, Random], None]
    own_broker: bool = False
    own_postgres: bool = False

    def possible(self, ground: Ground) -> bool:
        return (ground.own_broker or not self.own_broker) and (
            ground.own_postgres or not self.own_postgres
        )


def _killed(field: Field, random: Random) -> None:
    worker = field.fleet.take(random)
    if worker is not None:
        field.fleet.kill(worker)
        time.sleep(random.uniform(0, 1))
        field.fleet.start()


def _frozen(field: Field, random: Random) -> None:
    worker = field.fleet.take(random)
    if worker is not None:
        field.fleet.freeze(worker, field.session_s + random.uniform(0.3, 3.5))
        field.fleet.release(worker)


def _joins(field: Field, random: Random) -> None:
    if len(field.fleet) >= field.many:
        _leaves(field, random)
    field.fleet.start()
    # Until it may have joined: a fault is over when its effect can be there.
    time.sleep(field.session_s / 2 + 1)


def _leaves(field: Field, random: Random) -> None:
    if len(field.fleet) <= field.few:
        field.fleet.start()
        time.sleep(field.session_s / 2 + 1)
    worker = field.fleet.take(random)
    if worker is not None:
        field.fleet.leave(worker)


def _broker_away(field: Field, random: Random) -> None:
    field.ground.freeze_broker(random.uniform(0.5, 4))


def _broker_killed(field: Field, random: Random) -> None:
    with field.ground.broker_lock:
        field.feed.pause()
        field.ground.kill_broker(random.uniform(0, 2))
        field.feed.reopen(random, random.randint(0, 100))
        field.feed.resume()


def _postgres_killed(field: Field, random: Random) -> None:
    field.ground.kill_postgres(random.uniform(0, 2))


def _postgres_away(field: Field, random: Random) -> None:
    with field.ground.postgres_lock:
        if random.random() < 0.5:  # refused, or gone without a word
            field.proxy.refusing = True
            field.proxy.cut()
            time.sleep(random.uniform(0.5, 4))
            field.proxy.refusing = False
        else:
            field.proxy.silence(on=True)
            time.sleep(random.uniform(0.5, 4))
            field.proxy.silence(on=False)


def _terminated(field: Field, random: Random) -> None:
    with field.ground.postgres_lock:
        for _ in range(random.randint(1, 4)):
            field.ground.terminate(random.randint(1, 3))
            time.sleep(random.uniform(0, 0.3))


def _answer_lost(field: Field, random: Random) -> None:
    with field.ground.postgres_lock:
        goal = field.proxy.lost + random.randint(1, 3)
        field.proxy.lose_answers(goal - field.proxy.lost)
        wait_until(lambda: field.proxy.lost >= goal, 10)
        field.proxy.lose_answers(0)


def _writes_refused(field: Field, random: Random) -> None:
    with field.ground.postgres_lock:
        field.ground.alter("SET default_transaction_read_only = on")
        try:
            field.ground.terminate()
            time.sleep(random.uniform(0.5, 3))
        finally:
            field.ground.alter("RESET default_transaction_read_only")


def _database_slow(field: Field, random: Random) -> None:
    with field.ground.postgres_lock:
        field.proxy.delay_s = random.uniform(0.02, 0.08)
        time.sleep(random.uniform(2, 4))
        field.proxy.delay_s = 0.0


def _model_slow(field: Field, random: Random) -> None:
    """A worker whose batches take longer than the session's timeout: it must keep its place."""
    slow = field.fleet.start(WORKER_MODEL="stub:100", WORKER_BATCH_POSTS="30")
    slow.taken = True
    time.sleep(field.session_s / 2 + random.uniform(3, 5))
    field.fleet.leave(slow)


CATALOGUE: Mapping[str, Fault] = {
    fault.name: fault
    for fault in (
        Fault("worker killed", "SIGKILL; another starts within a second", _killed),
        Fault("worker frozen", "SIGSTOP past the session timeout, then SIGCONT: a zombie", _frozen),
        Fault("worker joins", "one more worker", _joins),
        Fault("worker leaves", "SIGTERM; it must end with 0 within 10 s", _leaves),
        Fault("broker away", "SIGSTOP for up to 4 s", _broker_away, own_broker=True),
        Fault(
            "broker killed",
            "SIGKILL; it comes back empty, the topics are made anew",
            _broker_killed,
            own_broker=True,
        ),
        Fault(
            "postgres killed",
            "SIGKILL to the postmaster; it recovers from its log",
            _postgres_killed,
            own_postgres=True,
        ),
        Fault("postgres away", "connections refused, or silent, for up to 4 s", _postgres_away),
        Fault("connection terminated", "pg_terminate_backend, up to 12 times", _terminated),
        Fault(
            "answer lost",
            "a COMMIT goes through, the connection ends before it is said",
            _answer_lost,
        ),
        Fault("writes refused", "the database is read-only for up to 3 s", _writes_refused),
        Fault("database slow", "20 to 80 ms more for each statement", _database_slow),
        Fault("model slow", "a worker with 3 s a batch joins and leaves", _model_slow),
    )
}
