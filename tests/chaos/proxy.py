"""A proxy before Postgres: it can be slow, silent, away, and lose the answer to a COMMIT."""

from __future__ import annotations

import asyncio
import struct
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any

_ENCRYPTION = (80877103, 80877104)  # SSLRequest and GSSENCRequest: the answer is one byte
_STARTUP, _ANSWER = 8, 65_536


class Proxy:
    """Listens on the loopback interface and forwards to `target()`, in a thread of its own.

    It knows of the protocol (https://www.postgresql.org/docs/current/protocol-message-formats.html)
    where a message ends, which one is a COMMIT, and whether that transaction copied anything, as
    those of micro-batches do.

    Args:
        target: Host and port of the server, asked at each connection: a restart may move it.
    """

    def __init__(self, target: Callable[[], tuple[str, int]]) -> None:
        self._target = target
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._open = asyncio.Event()
        self._links: set[_Link] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.refusing = False
        self.delay_s = 0.0
        self.to_lose = 0
        self.lost = 0
        self.port = 0

    def __enter__(self) -> Self:
        self._thread.start()
        self.port = self._call(self._listen())
        return self

    def __exit__(self, *_: object) -> None:
        self._call(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def lose_answers(self, count: int) -> None:
        """Of so many coming batches: the COMMIT goes through, its answer does not come back."""
        self.to_lose = count

    def silence(self, *, on: bool) -> None:
        """While on, connections stand, and nothing passes."""
        self._loop.call_soon_threadsafe(self._open.clear if on else self._open.set)

    def cut(self) -> None:
        """Resets every connection."""
        self._call(self._cut())

    def _call(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _listen(self) -> int:
        self._open.set()
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def _end(self) -> None:
        self._server.close()
        await self._cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _cut(self) -> None:
        for link in list(self._links):
            link.cut()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._link(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # either end may go at any moment: that is what this is for
        finally:
            writer.transport.abort()
            self._tasks.discard(task)

    async def _link(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.refusing:
            return
        up_reader, up_writer = await asyncio.open_connection(*self._target())
        link = _Link(writer, up_writer)
        self._links.add(link)
        answers = asyncio.create_task(self._answers(link, up_reader))
        try:
            await self._requests(link, reader)
        finally:
            self._links.discard(link)
            link.cut()
            with suppress(OSError):
                await answers

    async def _requests(self, link: _Link, reader: asyncio.StreamReader) -> None:
        while True:  # before the session begins, messages have no type
            head = await reader.readexactly(_STARTUP)
            length, code = struct.unpack(">ii", head)
            link.server.write(head + await reader.readexactly(length - _STARTUP))
            if code not in _ENCRYPTION:
                break
        while True:
            head = await reader.readexactly(5)
            body = await reader.readexactly(struct.unpack(">i", head[1:])[0] - 4)
            if self.delay_s and head[:1] in b"QS":
                await asyncio.sleep(self.delay_s)
            await self._open.wait()
            if head[:1] == b"d":
                link.copied = True
            elif head[:1] == b"Q" and body.upper() == b"COMMIT\0":
                if link.copied and self.to_lose > 0:
                    self.to_lose -= 1
                    link.swallow = True
                link.copied = False
            link.server.write(head + body)
            await link.server.drain()

    async def _answers(self, link: _Link, reader: asyncio.StreamReader) -> None:
        try:
            while data := await reader.read(_ANSWER):
                await self._open.wait()
                if link.swallow:
                    # Only an answer that says so proves that the transaction stands.
                    self.lost += b"COMMIT\0" in data
                    break
                link.client.write(data)
                await link.client.drain()
        finally:
            link.cut()


class _Link:
    """A client's connection and the server's end of it."""

    def __init__(self, client: asyncio.StreamWriter, server: asyncio.StreamWriter) -> None:
        self.client = client
        self.server = server
        self.copied = False
        self.swallow = False

    def cut(self) -> None:
        self.client.transport.abort()
        self.server.transport.abort()
