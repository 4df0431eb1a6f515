"""What two models say of the same posts: counts, and what follows from them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from math import sqrt
from typing import TYPE_CHECKING, Final, Literal

from worker.posts import LABELS
from worker.trends import EMOTIONS, UNLABELLED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from worker.store.replays import State

Side = Literal["before", "after"]

DECILES: Final = 10
_Z: Final = 1.959964
"""Of a 95 % interval."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Posts that are alike in all of these.

    Attributes:
        before: What the model before says: one of `EMOTIONS`.
        after: What the replay's model says.
        same_top: Whether the most probable of the six is the same, uncertain or not; None where one
            of the two did not label it.
        before_decile: 0 to 9, of the confidence; None if unlabelled.
        after_decile: The same of the replay's model.
        posts: How many.
        before_confidence: Sum.
        after_confidence: Sum.
    """

    before: str
    after: str
    same_top: bool | None
    before_decile: int | None
    after_decile: int | None
    posts: int
    before_confidence: float
    after_confidence: float

    @property
    def labelled(self) -> bool:
        """By both models."""
        return UNLABELLED not in {self.before, self.after}


@dataclass(frozen=True, slots=True)
class Agreement:
    """In how many of some posts two models say the same."""

    posts: int
    same: int

    @property
    def share(self) -> float | None:
        """From 0 to 1; None without posts."""
        return self.same / self.posts if self.posts else None


@dataclass(frozen=True, slots=True)
class Shift:
    """How an emotion's share moves, of the posts that both models label.

    Attributes:
        emotion: Which one.
        before: Posts with it, by the model before.
        after: Posts with it, by the replay's model.
        posts: Of how many.
        low: Of the 95 % interval of the difference of the shares.
        high: The same.
    """

    emotion: str
    before: int
    after: int
    posts: int
    low: float
    high: float

    @property
    def difference(self) -> float:
        """Share after less share before."""
        return (self.after - self.before) / self.posts


@dataclass(frozen=True, slots=True)
class Decile:
    """Posts of which a model's confidence lies in a tenth.

    Attributes:
        posts: How many; those that the other model did not label left out.
        confidence: Mean; None without posts.
        agreement: How often the other model finds the same of the six most probable.
    """

    posts: int
    confidence: float | None
    agreement: Agreement


@dataclass(frozen=True, slots=True)
class ValueShift:
    """What changes for a dimension's value.

    Attributes:
        dimension: As in the trends.
        value: The same.
        posts: Compared.
        changed: Of these, with another emotion.
        gained: The emotion whose share rises most, and by how much; None if none does.
        lost: The one whose share falls most, and by how much (below zero); None if none does.
    """

    dimension: str
    value: str
    posts: int
    changed: int
    gained: tuple[str, float] | None
    lost: tuple[str, float] | None


@dataclass(frozen=True, slots=True)
class Disagreement:
    """A post that the models label otherwise; `text` is None where texts are not stored."""

    platform: str
    post_id: str
    before: str
    before_confidence: float
    after: str
    after_confidence: float
    text: str | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """A replay's labels against those that it replaces, or has replaced.

    Attributes:
        name: The replay's.
        state: How it stands.
        progress: From 0 to 1.
        model: Its model: name and version.
        models: Those before: name and version, and how many posts each labelled, most first.
        superseded: Posts left out, as another version of them stands.
        withdrawn: Posts left out, as they are withdrawn or gone.
        unseen: Posts left out, as the live stream has not seen them.
        pairs: All that were compared.
        values: By dimension, those with the most posts first.
        disagreements: Those in which both models are most confident first.
    """

    name: str
    state: State
    progress: float
    model: str
    models: tuple[tuple[str, int], ...]
    superseded: int
    withdrawn: int
    unseen: int
    pairs: tuple[Pair, ...]
    values: tuple[ValueShift, ...]
    disagreements: tuple[Disagreement, ...]

    @property
    def posts(self) -> int:
        """How many were compared."""
        return sum(pair.posts for pair in self.pairs)

    @property
    def labelled(self) -> int:
        """How many both models label."""
        return sum(pair.posts for pair in self.pairs if pair.labelled)

    @property
    def confusion(self) -> Counter[tuple[str, str]]:
        """Posts by what they were and what they become."""
        return _counted((pair.before, pair.after, pair.posts) for pair in self.pairs)

    @property
    def agreement(self) -> Agreement:
        """On the emotion, of all eight."""
        return self._agreement(lambda _: True, lambda pair: pair.before == pair.after)

    @property
    def agreement_of_six(self) -> Agreement:
        """On the emotion, where both models name one of the six."""
        return self._agreement(
            lambda pair: pair.before in LABELS and pair.after in LABELS,
            lambda pair: pair.before == pair.after,
        )

    @property
    def agreement_on_top(self) -> Agreement:
        """On the most probable of the six, whatever the threshold of `uncertain`."""
        return self._agreement(lambda pair: pair.labelled, lambda pair: bool(pair.same_top))

    def _agreement(self, of: Callable[[Pair], bool], same: Callable[[Pair], bool]) -> Agreement:
        return _agreement([pair for pair in self.pairs if of(pair)], same)

    @property
    def shifts(self) -> tuple[Shift, ...]:
        """By emotion, `unlabelled` left out; none where both models label no post."""
        return shifts(self.confusion)

    def confidence(self, side: Side) -> float | None:
        """Mean confidence of one of the models in the posts that both label."""
        total = sum(getattr(pair, f"{side}_confidence") for pair in self._both())
        return total / self.labelled if self.labelled else None

    def deciles(self, side: Side) -> tuple[Decile, ...]:
        """By one of the models' confidence, the lowest tenth first."""
        by_decile: list[list[Pair]] = [[] for _ in range(DECILES)]
        for pair in self._both():
            by_decile[getattr(pair, f"{side}_decile")].append(pair)
        return tuple(_decile(pairs, side) for pairs in by_decile)

    def _both(self) -> list[Pair]:
        return [pair for pair in self.pairs if pair.labelled]


def shifts(confusion: Counter[tuple[str, str]]) -> tuple[Shift, ...]:
    """How each emotion's share moves, of the posts that both models label.

    The interval is that of a difference of two shares of the same posts: only those that leave the
    emotion or come to it count (Agresti, Categorical Data Analysis, 3rd ed., section 11.1).
    """
    both = {pair: n for pair, n in confusion.items() if UNLABELLED not in pair}
    total = sum(both.values())
    if not total:
        return ()
    found = []
    for emotion in EMOTIONS[:-1]:
        before = sum(n for (one, _), n in both.items() if one == emotion)
        after = sum(n for (_, one), n in both.items() if one == emotion)
        kept = both.get((emotion, emotion), 0)
        gone, come = before - kept, after - kept
        difference = (come - gone) / total
        error = sqrt(max(0.0, come + gone - (come - gone) ** 2 / total)) / total
        low, high = difference - _Z * error, difference + _Z * error
        found.append(Shift(emotion, before, after, total, low, high))
    return tuple(found)


def value_shifts(rows: Iterable[tuple[str, str, str, str, int]]) -> tuple[ValueShift, ...]:
    """Of dimension, value, emotion before and after, and posts; values in the order they come."""
    confusions: dict[tuple[str, str], Counter[tuple[str, str]]] = {}
    for dimension, value, before, after, posts in rows:
        confusions.setdefault((dimension, value), Counter())[before, after] += posts
    return tuple(_value_shift(*key, confusion) for key, confusion in confusions.items())


def _value_shift(dimension: str, value: str, confusion: Counter[tuple[str, str]]) -> ValueShift:
    moved = {shift.emotion: shift.difference for shift in shifts(confusion)}
    most = max(moved.items(), key=lambda one: one[1], default=("", 0.0))
    least = min(moved.items(), key=lambda one: one[1], default=("", 0.0))
    return ValueShift(
        dimension,
        value,
        confusion.total(),
        sum(posts for (before, after), posts in confusion.items() if before != after),
        most if most[1] > 0 else None,
        least if least[1] < 0 else None,
    )


def _agreement(pairs: Sequence[Pair], same: Callable[[Pair], bool]) -> Agreement:
    return Agreement(
        sum(pair.posts for pair in pairs), sum(pair.posts for pair in pairs if same(pair))
    )


def _decile(pairs: Sequence[Pair], side: Side) -> Decile:
    agreement = _agreement(pairs, lambda pair: bool(pair.same_top))
    total = sum(getattr(pair, f"{side}_confidence") for pair in pairs)
    posts = agreement.posts
    return Decile(posts, total / posts if posts else None, agreement)


def _counted(rows: Iterable[tuple[str, str, int]]) -> Counter[tuple[str, str]]:
    counts: Counter[tuple[str, str]] = Counter()
    for before, after, posts in rows:
        counts[before, after] += posts
    return counts
