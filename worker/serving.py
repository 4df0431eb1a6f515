"""`/metrics`, `/livez` and `/readyz` over HTTP, on a thread of its own."""

from __future__ import annotations

import errno
import logging
import socket
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from prometheus_client.exposition import choose_encoder

from worker.errors import SettingsError

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from worker.health import Health
    from worker.metrics import Metrics
    from worker.settings import Settings

log = logging.getLogger(__name__)

REQUEST_S: Final = 10.0
"""For a client to say what it wants: one that says nothing must not keep a thread for good."""
CLOSE_S: Final = 1.0
_TEXT: Final = "text/plain; charset=utf-8"
_INDEX: Final = (
    "emotion-worker\n\n"
    "/metrics  for Prometheus\n"
    "/livez    whether a restart would help: 200, or 503 and why\n"
    "/readyz   whether it works on its partitions: 200, or 503 and why\n"
)


def serve(settings: Settings, metrics: Metrics, health: Health) -> Serving | None:
    """Opens WORKER_METRICS_PORT; None where it is 0, or the default one and taken.

    A second worker on a machine must not fail for a port that nobody asked for; one that was
    asked for is meant.

    Raises:
        SettingsError: The port was given and cannot be opened.
    """
    port = settings.metrics_port
    if not port:
        return None
    try:
        return Serving(metrics, health, port)
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        if "metrics_port" in settings.model_fields_set:
            raise SettingsError(
                f"WORKER_METRICS_PORT: port {port} cannot be opened: {why}. Name another one, or "
                "0 for no metrics."
            ) from None
        log.warning(
            "metrics are off: the default port cannot be opened (WORKER_METRICS_PORT names "
            "another)",
            extra={"port": port, "why": why},
        )
        return None


class Serving:
    """The HTTP server. It answers from memory alone and logs no request.

    Args:
        metrics: What `/metrics` shows.
        health: What `/livez` and `/readyz` say.
        port: Where to listen, on all addresses, as probes and scrapes come from outside; 0 lets
            the system choose.

    Raises:
        OSError: The port cannot be opened.
    """

    def __init__(self, metrics: Metrics, health: Health, port: int) -> None:
        self._server = _open(metrics, health, port)
        self.port: int = self._server.server_address[1]
        self._thread = Thread(
            target=self._server.serve_forever, args=(0.1,), name="metrics", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Stops listening. Answers under way are not waited for."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(CLOSE_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _open(metrics: Metrics, health: Health, port: int) -> _Server:
    if socket.has_dualstack_ipv6():
        try:
            return _Server6(metrics, health, port)
        except OSError as error:
            # IPv6 may be known to the system and switched off. A taken port is taken.
            if error.errno not in {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}:
                raise
    return _Server(metrics, health, port)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, metrics: Metrics, health: Health, port: int) -> None:
        self.metrics = metrics
        self.health = health
        super().__init__(("", port), _Handler)

    def handle_error(self, request: object, client_address: object) -> None:  # noqa: ARG002
        """A client that hangs up in mid-answer is no event; anything else is a bug."""
        error = sys.exception()
        if not isinstance(error, OSError):
            log.error("a request for metrics or health failed", exc_info=error)


class _Server6(_Server):
    address_family = socket.AF_INET6

    def server_bind(self) -> None:
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = REQUEST_S
    server_version = "emotion-worker"
    sys_version = ""

    def do_GET(self) -> None:
        """Answers."""
        metrics, health = self.server.metrics, self.server.health
        match urlsplit(self.path).path.rstrip("/"):
            case "/metrics":
                metrics.up(health.stages(), health.dependencies())
                encode, form = choose_encoder(self.headers.get("Accept", ""))
                self._answer(200, encode(metrics.registry), form)
            case "/livez":
                self._verdict(health.live())
            case "/readyz":
                self._verdict(health.ready())
            case "":
                self._answer(200, _INDEX.encode())
            case _:
                self._answer(404, b"not found; / lists what there is\n")

    do_HEAD = do_GET  # noqa: N815 - the name is the library's

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Nothing: probes come every few seconds."""

    def _verdict(self, reasons: list[str]) -> None:
        words = "\n".join(reasons) or "ok"
        self._answer(503 if reasons else 200, f"{words}\n".encode())

    def _answer(self, status: int, body: bytes, form: str = _TEXT) -> None:
        self.send_response(status)
        self.send_header("Content-Type", form)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
