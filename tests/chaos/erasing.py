"""`emotion-worker forget`, in the middle of everything: who was erased, for the oracle to know."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.chaos.oracle import read

if TYPE_CHECKING:
    from random import Random

    from tests.chaos.feed import Feed
    from tests.chaos.oracle import Identity
    from tests.chaos.workers import Fleet

ATTEMPTS = 20
"""Of a command that a fault may break off: it is idempotent, so it is given again."""


@dataclass(slots=True)
class Erasures:
    """What was forgotten so far."""

    posts: set[Identity] = field(default_factory=set)
    authors: set[str] = field(default_factory=set)
    problems: list[str] = field(default_factory=list)

    def begin(self, fleet: Fleet, feed: Feed, random: Random) -> threading.Thread:
        """Forgets a few recent posts and at times an author, on a thread of its own."""
        seen = [said for record in random.sample(feed.records[-500:], 12) if (said := read(record))]
        posts = {said.identity for said in seen[:4]}
        authors = {said.author for said in seen[4:] if said.author is not None}
        authors = set(sorted(authors)[:1]) if random.random() < 0.5 else set()
        self.posts |= posts
        self.authors |= authors
        arguments = ["forget"]
        for platform, post_id in sorted(posts):
            arguments += ["--post", f"{platform}:{post_id}"]
        for author in sorted(authors):
            arguments += ["--author", author]
        thread = threading.Thread(target=self._forget, args=(fleet, arguments), name="forget")
        thread.start()
        return thread

    def _forget(self, fleet: Fleet, arguments: list[str]) -> None:
        for _ in range(ATTEMPTS):
            code, said = fleet.command(*arguments)
            if code == 0:
                return
        self.problems.append(f"forget: exit code {code}: {said.strip()[-300:]}")
