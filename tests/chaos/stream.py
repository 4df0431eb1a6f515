"""The stream: what producers send, good and bad, drawn from a seed."""

from __future__ import annotations

import json
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from random import Random

WORDS = (
    *("rain", "train", "late", "again", "happy", "never", "coffee", "monday", "why", "finally"),
    *("love", "lost", "keys", "queue", "music", "gone", "tired", "sunny", "alone", "yes"),
)
AUTHORS = 200

KINDS = {
    "new": 40,
    "duplicate": 15,
    "edit": 12,
    "move": 5,
    "tie": 9,
    "late": 4,
    "withdrawal": 3,
    "tombstone": 2,
    "early withdrawal": 1,
    "after all": 4,
    "garbage": 5,
}
"""What a record is, and how often."""


@dataclass(frozen=True, slots=True)
class Message:
    """A record to be produced."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes | None
    timestamp_ms: int


@dataclass(frozen=True, slots=True)
class Known:
    """A post that was sent: its identity, its author, and one of its versions."""

    fields: dict[str, object]
    created: datetime

    @property
    def key(self) -> bytes | None:
        platform = self.fields.get("platform")
        return None if platform is None else f"{platform}:{self.fields['id']}".encode()


class Stream:
    """Endless records. The same arguments give the same records.

    Args:
        random: The seeded source of all choices.
        topics: Where they go.
        partitions: How many each topic has.
        day: The midnight (UTC) around which posts are created: two days' partitions are at work.
        hot: How many posts most of what is not new is about: fewer meet more often.
    """

    def __init__(
        self, random: Random, topics: Sequence[str], partitions: int, day: datetime, hot: int = 150
    ) -> None:
        self._random = random
        self._topics = topics
        self._partitions = partitions
        self._day = day
        self._number = 0
        self._posts: deque[Known] = deque(maxlen=hot)
        self._sent: deque[Message] = deque(maxlen=400)
        self._withdrawn: deque[Known] = deque(maxlen=60)
        self._held: list[tuple[int, dict[str, object], bytes | None]] = []
        self._makers: dict[str, Callable[[], Message]] = {
            "new": self._new,
            "duplicate": self._duplicate,
            "edit": self._edit,
            "move": lambda: self._edit(moved=True),
            "tie": self._tie,
            "late": self._late,
            "withdrawal": self._withdrawal,
            "tombstone": lambda: self._withdrawal(tombstone=True),
            "early withdrawal": self._early_withdrawal,
            "after all": self._after_all,
            "garbage": self._garbage,
        }

    def __iter__(self) -> Iterator[Message]:
        names, weights = list(KINDS), list(KINDS.values())
        while True:
            self._number += 1
            message = self._due_original()
            if message is None:
                (name,) = self._random.choices(names, weights)
                message = self._makers[name]()
            self._sent.append(message)
            yield message

    def _message(self, value: bytes | None, key: bytes | None) -> Message:
        return Message(
            self._random.choice(self._topics),
            self._random.randrange(self._partitions),
            key,
            value,
            self._timestamp_ms(),
        )

    def _timestamp_ms(self) -> int:
        when = self._day + timedelta(minutes=45, milliseconds=10 * self._number)
        return round(when.timestamp() * 1_000)

    def _post(self, post: Known, **changes: object) -> Message:
        fields = {**post.fields, **changes}
        return self._message(json.dumps(fields).encode(), post.key)

    def _text(self) -> str:
        if self._random.random() < 0.04:
            return self._random.choice(["", "...", " ?! "])
        words = self._random.choices(WORDS, k=self._random.randint(2, 9))
        if self._random.random() < 0.5:
            words.append(f"#Tag{self._random.randrange(6)}")
        return " ".join(words)

    def _when(self) -> datetime:
        return self._day + timedelta(milliseconds=self._random.randint(-1_500_000, 1_500_000))

    def _time(self, time: datetime) -> object:
        form = self._random.randrange(4)
        if form == 0:
            return time.astimezone(timezone(timedelta(hours=5, minutes=30))).isoformat()
        if form == 1:
            return round(time.timestamp() * 1_000)
        if form == 2 and not time.microsecond:
            return round(time.timestamp())
        return time.isoformat().replace("+00:00", "Z")

    def _draft(self) -> Known:
        created = self._when()
        fields: dict[str, object] = {
            "id": f"p{self._number}",
            "text": self._text(),
            "created_at": self._time(created),
            "author_id": f"a{self._number % AUTHORS}" if self._random.random() < 0.8 else None,
            "lang": self._random.choice([None, "en", "en", "EN-gb", "de", "und"]),
            "extra": [self._number],
        }
        if self._random.random() < 0.9:  # else the topic is its platform
            fields["platform"] = self._random.choice(["alpha", "beta"])
        if self._random.random() < 0.2:
            fields["hashtags"] = ["#Given", "given", f"n{self._random.randrange(4)}", ""]
        return Known(fields, created)

    def _new(self) -> Message:
        post = self._draft()
        self._posts.append(post)
        return self._post(post)

    def _some_post(self) -> Known | None:
        return self._random.choice(self._posts) if self._posts else None

    def _duplicate(self) -> Message:
        if not self._sent:
            return self._new()
        sent = self._random.choice(self._sent)
        return self._message(sent.value, sent.key)

    def _edit(self, *, moved: bool = False) -> Message:
        """A version of a known post: often the latest, at times not."""
        post = self._some_post()
        if post is None:
            return self._new()
        created = self._when() if moved else post.created
        edited = post.created + timedelta(seconds=self._random.randint(1, 1_200))
        return self._post(
            post,
            text=self._text(),
            created_at=self._time(created),
            edited_at=self._time(edited),
        )

    def _tie(self) -> Message:
        """The same version with another text: the smallest place must win."""
        post = self._some_post()
        if post is None:
            return self._new()
        return self._post(post, text=self._text(), created_at=self._time(post.created))

    def _late(self) -> Message:
        """An edit now, its original later."""
        post = self._draft()
        self._posts.append(post)
        due = self._number + self._random.randint(5, 300)
        self._held.append((due, post.fields, post.key))
        edited = post.created + timedelta(seconds=self._random.randint(1, 1_200))
        return self._post(post, text=self._text(), edited_at=self._time(edited))

    def _due_original(self) -> Message | None:
        for index, (due, fields, key) in enumerate(self._held):
            if due <= self._number:
                del self._held[index]
                return self._message(json.dumps(fields).encode(), key)
        return None

    def _withdrawal(self, *, tombstone: bool = False) -> Message:
        post = self._some_post()
        if post is None:
            return self._new()
        self._posts.remove(post)
        self._withdrawn.append(post)
        if tombstone and post.key is not None:
            return self._message(None, post.key)
        kept = {name: post.fields.get(name) for name in ("id", "platform", "author_id")}
        return self._message(json.dumps({**kept, "deleted": True}).encode(), post.key)

    def _early_withdrawal(self) -> Message:
        """Of a post that only comes later."""
        post = self._draft()
        self._withdrawn.append(post)
        return self._post(post, deleted=True)

    def _after_all(self) -> Message:
        """A version of a post that was withdrawn: it must stay so."""
        if not self._withdrawn:
            return self._new()
        post = self._random.choice(self._withdrawn)
        edited = post.created + timedelta(seconds=self._random.randint(1, 1_200))
        return self._post(post, text=self._text(), edited_at=self._time(edited))

    def _garbage(self) -> Message:
        post = self._draft()
        future = datetime.fromtimestamp(self._timestamp_ms() / 1_000, UTC) + timedelta(hours=2)
        made: list[Callable[[], Message]] = [
            lambda: self._message(
                self._random.choice([b"{not json", b"", b"\xff\xfe", b"[1]"]), b"k"
            ),
            lambda: self._message(None, self._random.choice([None, b"no colon", b":x", b"\xff:1"])),
            lambda: self._post(post, id=self._random.choice([7, "", None, "x" * 257])),
            lambda: self._post(post, created_at=post.created.replace(tzinfo=None).isoformat()),
            lambda: self._post(post, created_at="1999-12-31T23:59:59Z"),
            lambda: self._post(post, created_at=future.isoformat()),
            lambda: self._post(post, text=self._random.choice([None, 5, "x" * 20_001])),
            lambda: self._post(post, lang="not a language"),
            lambda: self._post(post, platform="with:colon"),
            lambda: self._post(post, deleted="yes"),
        ]
        if self._random.random() < 0.02:
            return self._message(b"{" + b"x" * (1 << 20), None)
        return self._random.choice(made)()
