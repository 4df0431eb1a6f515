"""What a drill is to do, and what came of it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.chaos.faults import CATALOGUE

if TYPE_CHECKING:
    from tests.chaos.compare import Compared


@dataclass(frozen=True, slots=True)
class Plan:
    """What a drill does; with the seed, all of it that chance does not.

    Attributes:
        seed: Of the stream, the faults, and when they strike.
        faults: Kinds from the catalogue.
        each: How often each strikes.
        together: Share of the rounds in which several strike at once.
        rate: Records a second.
        guard: Which guard is taken out of the workers; None: none.
        workers: Fewest, at first, and most.
        model: `WORKER_MODEL`.
        hot: How many posts most of the stream is about.
        backlog: Records produced before the first worker starts.
        delay_s: What each statement takes longer, all the time.
        calm: Wait after each round until the group has caught up.
        forgets: Share of the rounds in which posts and authors are erased meanwhile.
        replay: Whether what was read is read again meanwhile, in place.
    """

    seed: int
    faults: tuple[str, ...] = tuple(CATALOGUE)
    each: int = 10
    together: float = 0.25
    rate: float = 120.0
    guard: str | None = None
    workers: tuple[int, int, int] = (3, 3, 5)
    partitions: int = 4
    model: str = "stub:1"
    batch_posts: int = 40
    hot: int = 150
    backlog: int = 300
    assignor: str = "cooperative-sticky"
    delay_s: float = 0.0
    forgets: float = 0.3
    calm: bool = True
    replay: bool = False


@dataclass(frozen=True, slots=True)
class Round:
    """Faults that struck at once, from when to when the group had caught up, and what it cost."""

    faults: tuple[str, ...]
    start: float
    end: float
    recovery_s: float = 0.0


@dataclass(slots=True)
class Outcome:
    """What came of a drill. It passed if `problems` is empty and the tables are as they must be."""

    plan: Plan
    compared: Compared
    seconds: float
    session_s: float
    rounds: list[Round] = field(default_factory=list)
    skipped: tuple[str, ...] = ()
    problems: list[str] = field(default_factory=list)
    said: Counter[str] = field(default_factory=Counter)
    answers_lost: int = 0
    gave_up: int = 0

    @property
    def limit_s(self) -> float:
        return self.session_s + 10

    @property
    def passed(self) -> bool:
        return not self.problems and not self.compared.differences
