"""The embedded broker and Postgres together."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Self

from worker.local.broker import EmbeddedBroker
from worker.local.postgres import EmbeddedPostgres

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType


class LocalServices:
    """A broker and a Postgres, from `start()` (or `with`) to `stop()`.

    Args:
        data_dir: Where Postgres keeps its data, and both keep their logs. None: a temporary folder,
            removed in the end. The broker keeps its data in memory in either case.
        kafka_port: Where the broker listens; 0 takes any free port.
        postgres_port: Where Postgres listens; 0 takes any free port.
    """

    def __init__(
        self, data_dir: Path | None = None, *, kafka_port: int = 0, postgres_port: int = 0
    ) -> None:
        log = None if data_dir is None else data_dir.absolute() / "broker.log"
        self._postgres = EmbeddedPostgres(data_dir, port=postgres_port)
        self._broker = EmbeddedBroker(port=kafka_port, log=log)
        self._running = ExitStack()

    @property
    def bootstrap_servers(self) -> str:
        """The broker's `host:port`."""
        return self._broker.bootstrap_servers

    @property
    def database_url(self) -> str:
        """URL of an empty database, its password included."""
        return self._postgres.url

    def start(self) -> None:
        """Starts both and waits until they answer; if one does not start, neither is left.

        Raises:
            SettingsError: A port is taken, or the data folder cannot be used.
            DependencyError: One is not installed, or did not start.
        """
        self._broker.find_port()  # Postgres takes longer, and looks at its own port first
        with ExitStack() as running:
            running.enter_context(self._postgres)  # first: it makes and locks the data folder
            running.enter_context(self._broker)
            self._running = running.pop_all()

    def failure(self) -> str | None:
        """What happened if one has ended on its own; None while both run."""
        return self._postgres.failure() or self._broker.failure()

    def stop(self) -> None:
        """Stops both."""
        self._running.close()

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
