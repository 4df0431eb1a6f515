"""The format `post`: our own JSON, docs/reference/post.md."""

from __future__ import annotations

from typing import Final

from worker.posts.decode import decode
from worker.posts.formats.interface import Format

POST: Final = Format(name="post", decode=decode)
