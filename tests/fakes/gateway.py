"""Gateways before servers: TLS, mutual TLS and SASL where what is behind them has none."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import select
import socket
import ssl
import struct
import threading
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

HOST = "127.0.0.1"
_SSL_REQUEST = struct.pack(">ii", 8, 80_877_103)
_HANDSHAKE, _AUTHENTICATE, _API_VERSIONS = 17, 36, 18  # https://kafka.apache.org/protocol
_NEWER, _OURS = (struct.pack(">hhh", _AUTHENTICATE, 0, newest) for newest in (2, 1))
"""Version 2 of SaslAuthenticate is written otherwise (KIP-482)."""
_REFUSED = 58  # SASL_AUTHENTICATION_FAILED
_ITERATIONS = 4_096
_HASHES = {"SCRAM-SHA-256": hashlib.sha256, "SCRAM-SHA-512": hashlib.sha512}


class _Gateway:
    """Listens on the loopback interface and forwards to `server`, in threads of its own.

    Attributes:
        port: Where it listens.
        peers: The client's certificate of each connection, as it was verified.
    """

    def __init__(self, server: tuple[str, int], tls: ssl.SSLContext | None) -> None:
        self._behind = server
        self._tls = tls
        self._server = socket.create_server((HOST, 0))
        self._threads: list[threading.Thread] = []
        self._sockets: set[socket.socket] = set()
        self.port: int = self._server.getsockname()[1]
        self.peers: list[object] = []

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        _end(self._server)
        self._server.close()
        for one in list(self._sockets):
            _end(one)
        for thread in list(self._threads):
            thread.join(10)

    def _start(self, work: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                self._start(self._serve, self._server.accept()[0])

    def _serve(self, plain: socket.socket) -> None:
        with suppress(OSError), closing(plain):
            plain.settimeout(10)
            client = self._secured(plain)
            with closing(client), socket.create_connection(self._behind) as server:
                self._sockets |= {client, server}
                try:
                    if self._admits(client, server):
                        self._forward(client, server)
                finally:
                    self._sockets -= {client, server}

    def _secured(self, plain: socket.socket) -> socket.socket:
        if self._tls is None:
            return plain
        client = self._tls.wrap_socket(plain, server_side=True)
        self.peers.append(client.getpeercert())
        return client

    def _admits(self, client: socket.socket, server: socket.socket) -> bool:
        """Whether the client may speak to the server."""
        return True

    def _forward(self, client: socket.socket, server: socket.socket) -> None:
        # By one thread: a TLS connection must not be read and written at the same time.
        answers = b""
        while True:
            ready = [client]
            if not (isinstance(client, ssl.SSLSocket) and client.pending()):
                ready = select.select([client, server], [], [])[0]
            if client in ready:
                data = client.recv(65_536)
                if not data:
                    return
                server.sendall(data)
            if server in ready:
                data = server.recv(65_536)
                if not data:
                    return
                ours, answers = self._ours(answers + data)
                client.sendall(ours)

    def _ours(self, answers: bytes) -> tuple[bytes, bytes]:
        """What of the server's answers goes to the client by now, and what waits for more."""
        return answers, b""


class PostgresGateway(_Gateway):
    """TLS before a Postgres that was built without it."""

    def _secured(self, plain: socket.socket) -> socket.socket:
        assert _exactly(plain, 8) == _SSL_REQUEST, "the client asked for no TLS"
        plain.sendall(b"S")
        return super()._secured(plain)


class KafkaGateway(_Gateway):
    """TLS and SASL before a broker.

    It answers the SASL handshake (KIP-43) and exchange (KIP-152; RFC 4616, RFC 5802) itself, and
    makes of the broker's address, in what the broker answers, its own: same host, other port.

    Args:
        broker: Host (127.0.0.1) and port of the broker.
        tls: The server's side of TLS; None: plaintext.
        users: Passwords by user, for SASL; None: none is asked for.

    Attributes:
        mechanisms: How each connection was authenticated, in order.
    """

    def __init__(
        self,
        broker: str,
        *,
        tls: ssl.SSLContext | None = None,
        users: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__((HOST, int(broker.rpartition(":")[2])), tls)
        self._users = users
        self.mechanisms: list[str] = []

    @property
    def bootstrap_servers(self) -> str:
        return f"{HOST}:{self.port}"

    def _ours(self, answers: bytes) -> tuple[bytes, bytes]:
        theirs, ours = (
            HOST.encode() + struct.pack(">i", port) for port in (self._behind[1], self.port)
        )
        whole = 0
        while len(answers) >= whole + 4:
            end = whole + 4 + struct.unpack(">i", answers[whole : whole + 4])[0]
            if end > len(answers):
                break
            whole = end
        return answers[:whole].replace(theirs, ours), answers[whole:]

    def _admits(self, client: socket.socket, server: socket.socket) -> bool:
        if self._users is None:
            return True
        exchange: _Plain | _Scram | None = None
        while exchange is None or not exchange.done:
            frame = _frame(client)
            if not frame:
                return False
            key, version, correlation, id_length = struct.unpack(">hhih", frame[4:14])
            body = frame[14 + max(0, id_length) :]
            if key == _API_VERSIONS:
                server.sendall(frame)
                client.sendall(_frame(server).replace(_NEWER, _OURS))
            elif key == _HANDSHAKE:
                asked = body[2 : 2 + struct.unpack(">h", body[:2])[0]].decode()
                exchange = self._exchange(asked)
                names = b"".join(_string(name) for name in ("PLAIN", *_HASHES))
                _answer(client, correlation, struct.pack(">hi", 0, 1 + len(_HASHES)) + names)
            elif key == _AUTHENTICATE and exchange is not None:
                _answer(client, correlation, *_authenticated(version, body[4:], exchange))
            else:
                return False
        self.mechanisms.append(exchange.name)
        return True

    def _exchange(self, mechanism: str) -> _Plain | _Scram:
        assert self._users is not None
        return _Plain(self._users) if mechanism == "PLAIN" else _Scram(mechanism, self._users)


class _Plain:
    """RFC 4616: everything in one message."""

    name = "PLAIN"

    def __init__(self, users: Mapping[str, str]) -> None:
        self._users = users
        self.done = False

    def take(self, token: bytes) -> bytes | None:
        _, user, password = token.decode().split("\0")
        self.done = self._users.get(user) == password
        return b"" if self.done else None


class _Scram:
    """RFC 5802, the server's side, from the plain password as RFC 5802 section 3 derives it."""

    def __init__(self, mechanism: str, users: Mapping[str, str]) -> None:
        self.name = mechanism
        self._users = users
        self._hash = _HASHES[mechanism]
        self._salt = secrets.token_bytes(16)
        self._first = ""
        self._said = ""
        self._user: str | None = None
        self.done = False

    def take(self, token: bytes) -> bytes | None:
        text = token.decode()
        if self._user is None:
            self._first = text.removeprefix("n,,")
            given = dict(part.split("=", 1) for part in self._first.split(","))
            self._user = given["n"].replace("=2C", ",").replace("=3D", "=")
            salt = base64.b64encode(self._salt).decode()
            self._said = f"r={given['r']}{secrets.token_hex(8)},s={salt},i={_ITERATIONS}"
            return self._said.encode()
        bare, _, proof = text.rpartition(",p=")
        salted = hashlib.pbkdf2_hmac(
            self._hash().name, self._users.get(self._user, "?").encode(), self._salt, _ITERATIONS
        )
        message = f"{self._first},{self._said},{bare}".encode()
        key = self._hmac(salted, b"Client Key")
        signature = self._hmac(self._hash(key).digest(), message)
        expected = bytes(a ^ b for a, b in zip(key, signature, strict=True))
        self.done = hmac.compare_digest(expected, base64.b64decode(proof))
        verifier = self._hmac(self._hmac(salted, b"Server Key"), message)
        return b"v=" + base64.b64encode(verifier) if self.done else None

    def _hmac(self, key: bytes, message: bytes) -> bytes:
        return hmac.digest(key, message, self._hash)


def _authenticated(version: int, token: bytes, exchange: _Plain | _Scram) -> tuple[bytes, ...]:
    """The parts of an answer to SaslAuthenticate: error, message, token, the session's lifetime."""
    reply = exchange.take(token)
    error, message = (_REFUSED, "no") if reply is None else (0, "")
    session = struct.pack(">q", 0) if version == 1 else b""
    reply = reply or b""
    return struct.pack(">h", error), _string(message), struct.pack(">i", len(reply)), reply, session


def _frame(stream: socket.socket) -> bytes:
    """A length and what follows it; nothing at the end."""
    head = _exactly(stream, 4)
    return head + _exactly(stream, struct.unpack(">i", head)[0]) if head else b""


def _exactly(stream: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = stream.recv(size - len(data))
        if not more:
            return b""
        data += more
    return data


def _answer(client: socket.socket, correlation: int, *parts: bytes) -> None:
    body = b"".join(parts)
    client.sendall(struct.pack(">ii", 4 + len(body), correlation) + body)


def _string(text: str) -> bytes:
    return struct.pack(">h", len(text)) + text.encode()


def _end(one: socket.socket) -> None:
    with suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
