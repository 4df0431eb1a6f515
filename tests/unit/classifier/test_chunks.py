from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from worker.classifier.chunks import next_chunk


@given(
    lengths=st.lists(st.integers(1, 128), min_size=1, max_size=60).map(sorted),
    budget=st.integers(1, 1000),
    multiple=st.sampled_from([1, 8]),
)
def test_chunks_hold_every_row_once_within_the_budget(
    lengths: list[int], budget: int, multiple: int
) -> None:
    start = 0
    while start < len(lengths):
        chunk = next_chunk(lengths, start, budget=budget, multiple=multiple)

        assert chunk.start == start
        assert len(chunk) >= 1
        assert chunk.width % multiple == 0
        assert 0 <= chunk.width - lengths[chunk.stop - 1] < multiple
        assert chunk.tokens == len(chunk) * chunk.width
        assert chunk.tokens <= budget or len(chunk) == 1
        if chunk.stop < len(lengths):
            wider = -(-lengths[chunk.stop] // multiple) * multiple
            assert wider * (len(chunk) + 1) > budget
        start = chunk.stop
    assert start == len(lengths)
