"""The formats that topics come in, and which topic comes in which."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from worker.posts.formats.bluesky import BLUESKY
from worker.posts.formats.interface import Decoded, Format, Trace
from worker.posts.formats.post import POST

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from worker.posts.model import Record

__all__ = ["DEFAULT", "FORMATS", "Decoded", "Format", "Trace", "by_topic"]

FORMATS: Final[Mapping[str, Format]] = MappingProxyType({one.name: one for one in (POST, BLUESKY)})
"""Every format, by its name."""
DEFAULT: Final = POST.name
"""That of topics of which nothing else is said."""


def by_topic(formats: Iterable[tuple[str, str]] = ()) -> Callable[[Record], Decoded]:
    """A decoder that reads each topic's records in its own format.

    Args:
        formats: Topics and the names of their formats; other topics hold our own posts.
    """
    decoders = {topic: FORMATS[name].decode for topic, name in formats}
    default = FORMATS[DEFAULT].decode

    def decode(record: Record) -> Decoded:
        return decoders.get(record.ref.topic, default)(record)

    return decode
