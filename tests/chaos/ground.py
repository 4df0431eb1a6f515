"""The broker and the Postgres under test: given ones, or embedded ones that can be killed."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

import psycopg

from worker.local.broker import EmbeddedBroker
from worker.local.ports import choose_port
from worker.local.postgres import EmbeddedPostgres
from worker.store.connection import libpq_url
from worker.store.migrate import upgrade

if TYPE_CHECKING:
    from collections.abc import Mapping


class Ground:
    """Both services, and a fresh migrated database, from `with` to its end.

    Args:
        environment: Where `WORKER_KAFKA_BOOTSTRAP_SERVERS` and `WORKER_DATABASE_URL` may name
            servers; an embedded one starts for each that is missing, and only those can be killed.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._given_broker = environment.get("WORKER_KAFKA_BOOTSTRAP_SERVERS")
        self._given_postgres = environment.get("WORKER_DATABASE_URL")
        self._stack = ExitStack()
        self.database = f"chaos_{secrets.token_hex(5)}"
        self.broker_lock = threading.Lock()
        self.postgres_lock = threading.Lock()

    @property
    def own_broker(self) -> bool:
        return self._given_broker is None

    @property
    def own_postgres(self) -> bool:
        return self._given_postgres is None

    @property
    def session_ms(self) -> int:
        """Apache Kafka accepts no less than 6 s by default; the embedded broker does."""
        return 2_000 if self.own_broker else 6_000

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            if self.own_postgres:
                folder = Path(tempfile.mkdtemp(prefix="ew-chaos-", dir="/tmp"))
                folder.chmod(0o755)
                stack.callback(shutil.rmtree, folder, ignore_errors=True)
                self._postgres = EmbeddedPostgres(folder, durable=True)
                stack.enter_context(self._postgres)
            if self.own_broker:
                self._port = choose_port(0, service="broker", flag="")
                self._broker = EmbeddedBroker(port=self._port)
                self._broker.start()
                stack.callback(self._stop_broker)
            self._administer(f"CREATE DATABASE {self.database} TEMPLATE template0")
            stack.callback(self._administer, f"DROP DATABASE {self.database} WITH (FORCE)")
            upgrade(self.url)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def _server(self) -> str:
        return self._postgres.url if self._given_postgres is None else self._given_postgres

    @property
    def url(self) -> str:
        """Of the database, past the proxy."""
        return urlsplit(libpq_url(self._server))._replace(path=f"/{self.database}").geturl()

    @property
    def brokers(self) -> str:
        return self._given_broker or self._broker.bootstrap_servers

    def postgres_address(self) -> tuple[str, int]:
        """Host and port, for the proxy."""
        parts = urlsplit(self.url)
        return parts.hostname or "127.0.0.1", parts.port or 5432

    def connect(self) -> psycopg.Connection:
        """A session past the proxy, in autocommit, that no fault of ours is aimed at."""
        connection = psycopg.connect(self.url, autocommit=True, application_name="chaos")
        connection.execute("SET TimeZone TO 'UTC'")
        connection.execute("SET default_transaction_read_only = off")
        return connection

    def _stop_broker(self) -> None:
        self._broker.stop()  # the one that runs now

    def _administer(self, statement: str) -> None:
        with psycopg.connect(libpq_url(self._server), autocommit=True) as connection:
            connection.execute(statement)

    def alter(self, clause: str) -> None:
        """`ALTER DATABASE` on ours, from another one."""
        self._administer(f"ALTER DATABASE {self.database} {clause}")

    def terminate(self, limit: int | None = None) -> int:
        """Ends workers' sessions, those in a transaction first; returns how many."""
        with psycopg.connect(libpq_url(self._server), autocommit=True) as connection:
            rows = connection.execute(
                "SELECT pg_terminate_backend(pid) FROM ("
                "SELECT pid FROM pg_stat_activity WHERE datname = %s "
                "AND application_name LIKE 'emotion-worker%%' "
                "ORDER BY state <> 'active', random() LIMIT %s) AS s",
                (self.database, limit),
            ).fetchall()
        return len(rows)

    def freeze_broker(self, seconds: float) -> None:
        """SIGSTOP, and SIGCONT after so long."""
        with self.broker_lock:
            pid = self._broker_pid()
            os.kill(pid, signal.SIGSTOP)
            try:
                time.sleep(seconds)
            finally:
                os.kill(pid, signal.SIGCONT)

    def kill_broker(self, seconds: float) -> None:
        """SIGKILL; after so long it is back, empty. The caller holds `broker_lock`."""
        os.kill(self._broker_pid(), signal.SIGKILL)
        time.sleep(seconds)
        self._broker.stop()
        self._broker = EmbeddedBroker(port=self._port)
        self._broker.start()

    def _broker_pid(self) -> int:
        process = self._broker._process
        assert process is not None
        pid = process.supervisor_pid
        return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])

    def kill_postgres(self, seconds: float) -> None:
        """SIGKILL to the postmaster; after so long it is back, and recovers."""
        with self.postgres_lock:
            os.kill(self._postgres.pid, signal.SIGKILL)
            time.sleep(seconds)
            self._postgres.stop()
            self._postgres.start()
