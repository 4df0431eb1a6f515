"""The store in memory and the one on Postgres, given the same random work, do the same."""

from __future__ import annotations

from dataclasses import fields
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.integration.store.backends import GROUP, NOON, Backend, InMemory, OnPostgres, Said, batch
from worker.posts.place import Partition, Span

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from worker.store.interface import Claim, LabelledBatch, Store

TIMES = ("updated_at", "retired_at")

words = st.sampled_from(["a", "b", "c"])
records = st.tuples(
    st.sampled_from(["post", "post", "empty", "withdrawal", "garbage"]), words, st.integers(0, 3)
)
small = st.integers(0, 2)
work = st.lists(
    st.one_of(
        st.tuples(st.just("claim"), small, small),
        st.tuples(st.just("settle"), small, small),
        st.tuples(st.just("write"), small, st.lists(st.tuples(small, st.lists(records)))),
        st.tuples(st.just("write"), small, st.lists(st.tuples(small, st.lists(records)))),
        st.tuples(st.just("again"), small, small),
        st.tuples(st.just("beat"), small, small),
        st.tuples(st.just("trip"), small, small),
        st.tuples(st.just("make_anew"), small, small),
    ),
    max_size=30,
)


class Driver:
    """Workers on one backend, each with what it believes of its partitions."""

    def __init__(self, backend: Backend, stores: Sequence[Store]) -> None:
        self.backend = backend
        self.stores = stores
        self.claims: list[dict[int, Claim]] = [{}, {}, {}]
        self.positions: list[dict[int, int]] = [{}, {}, {}]
        self.last: list[LabelledBatch | None] = [None, None, None]
        self.topic_id = 1

    def do(self, what: str, worker: int, more: Any) -> Any:
        return getattr(self, what)(worker, more)

    def claim(self, worker: int, number: int) -> Claim:
        partition = Partition("posts", UUID(int=self.topic_id), number)
        claim = self.stores[worker].claim(partition, 3, f"worker {worker}")
        self.claims[worker][number] = claim
        self.positions[worker][number] = claim.next_offset or 0
        return claim

    def settle(self, worker: int, number: int) -> bool:
        claim = self.claims[worker].get(number)
        position = self.positions[worker].get(number, 0)
        return claim is not None and self.stores[worker].settle(claim, position)

    def write(self, worker: int, more: list[tuple[int, list[Said]]]) -> Any:
        claims, positions = self.claims[worker], self.positions[worker]
        parts = [
            # Each span is one longer than its records: a gap.
            (claims[number], positions[number], positions[number] + len(said) + 1, said)
            for number, said in dict(more).items()
            if number in claims
        ]
        self.last[worker] = batch(self.backend, *parts, watermark=NOON)
        return self.again(worker, 0)

    def again(self, worker: int, _: int) -> Any:
        last = self.last[worker]
        if last is None:
            return None
        written = self.stores[worker].write(last)
        for span in last.spans:
            if span not in written.fenced:
                self.positions[worker][span.partition.number] = span.end
        outcomes = {place: dict(counts) for place, counts in written.outcomes.items()}
        return outcomes, written.fenced, written.repeated

    def beat(self, worker: int, number: int) -> int:
        claim = self.claims[worker].get(number)
        if claim is None:
            return -1
        position = self.positions[worker][number]
        later = NOON + timedelta(minutes=worker)
        span = Span(claim.partition, claim.epoch, position, position, later)
        return self.stores[worker].heartbeat([span])

    def trip(self, worker: int, number: int) -> None:
        claim = self.claims[worker].get(number)
        if claim is not None:
            self.stores[worker].trip([claim])

    def make_anew(self, worker: int, number: int) -> None:
        self.topic_id += 1

    def rows(self) -> list[Any]:
        return [
            {
                **{f.name: getattr(row, f.name) for f in fields(row) if f.name not in TIMES},
                "retired": row.retired_at is not None,
            }
            for row in self.stores[0].positions(GROUP, ["posts"])
        ]


@pytest.fixture
def on_postgres(database_url: str) -> Iterator[OnPostgres]:
    backend = OnPostgres(database_url)
    yield backend
    backend.close()


@pytest.fixture
def sessions(on_postgres: OnPostgres) -> list[Store]:
    return [on_postgres.session() for _ in range(3)]


@pytest.mark.integration
@settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(work)
def test_both_do_the_same(
    on_postgres: OnPostgres, sessions: list[Store], done: list[tuple[str, int, Any]]
) -> None:
    on_postgres.empty()
    in_memory = InMemory()
    in_memory.model_id = on_postgres.model_id
    memory = Driver(in_memory, [in_memory.session() for _ in range(3)])
    postgres = Driver(on_postgres, sessions)
    for number in range(3):
        for driver in (memory, postgres):
            driver.do("claim", number, number)
            driver.do("settle", number, number)
    for what, worker, more in done:
        assert memory.do(what, worker, more) == postgres.do(what, worker, more)
    assert memory.rows() == postgres.rows()
    assert in_memory.labels() == on_postgres.labels()
    assert in_memory.dead_letters() == on_postgres.dead_letters()
    on_postgres.check()
