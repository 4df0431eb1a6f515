from __future__ import annotations

from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from worker.charts.lanes import Place, Wish, place

NUMBERS = st.integers(0, 1_000).map(float)
WISHES = st.lists(
    st.tuples(NUMBERS, NUMBERS, st.integers(1, 400)).map(
        lambda one: Wish(min(one[:2]), max(one[:2]), float(one[2]))
    ),
    max_size=12,
)


@given(WISHES)
def test_labels_stay_inside_and_apart(wishes: list[Wish]) -> None:
    places = place(wishes, left=0, right=1_000, lanes=3, gap=10)
    spans = []
    for wish, at in zip(wishes, places, strict=True):
        if at is None:
            continue
        start, end = at.middle - wish.width / 2, at.middle + wish.width / 2
        assert 0 <= start <= end <= 1_000
        spans.append((at.lane, min(start, wish.start), max(end, wish.end)))
    for (lane, start, end), (other, begin, finish) in combinations(spans, 2):
        assert lane != other or end + 10 <= begin or finish + 10 <= start


def test_the_first_choose_first_and_the_last_may_get_nothing() -> None:
    same = [Wish(100, 120, 60)] * 3
    assert place(same, left=0, right=1_000, lanes=2, gap=5) == [Place(110, 0), Place(110, 1), None]


def test_a_label_at_the_edge_is_pushed_in_and_one_wider_than_all_left_out() -> None:
    wishes = [Wish(0, 0, 100), Wish(500, 500, 1_001)]
    assert place(wishes, left=0, right=1_000, lanes=2, gap=5) == [Place(50, 0), None]
