from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import psycopg
import pytest

from worker.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

pytestmark = pytest.mark.integration

_FREE_PORTS = ("--kafka-port", "0", "--postgres-port", "0")


@contextmanager
def _services(
    open_dir: Path, *options: str, prefix: Sequence[str] = (), ports: Sequence[str] = _FREE_PORTS
) -> Iterator[subprocess.Popen[str]]:
    code = "from worker.cli import main; main()"
    with subprocess.Popen(
        [*prefix, sys.executable, "-c", code, "services", *ports, *options],
        env={**os.environ, "TMPDIR": str(open_dir)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def _lines(process: subprocess.Popen[str]) -> list[str]:
    assert process.stdout is not None
    return [process.stdout.readline() for _ in range(2)]


def test_two_lines_then_a_quiet_end(
    as_user: Sequence[str],
    open_dir: Path,
    tmp_path: Path,
    descendants: Callable[[], Mapping[int, str]],
) -> None:
    before = set(descendants())
    with _services(open_dir, prefix=as_user) as process:
        env_file = tmp_path / "env"
        env_file.write_text("".join(_lines(process)))
        names = [line.split("=")[0] for line in env_file.read_text().splitlines()]
        assert names == ["WORKER_KAFKA_BOOTSTRAP_SERVERS", "WORKER_DATABASE_URL"]
        settings = load_settings(env_file)
        host, port = settings.kafka.split(":")
        socket.create_connection((host, int(port)), timeout=5).close()
        with psycopg.connect(settings.database) as connection:
            tables = connection.execute(
                "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"
            )
            assert tables.fetchone() == (0,)
        if as_user:
            os.killpg(process.pid, signal.SIGINT)  # as a terminal does for Ctrl-C
        else:
            process.terminate()
        rest, messages = process.communicate(timeout=20)
    assert process.returncode == 0
    assert rest == ""
    assert "memory only" in messages
    assert set(descendants()) <= before
    assert list(open_dir.iterdir()) == []


def test_kill_9_leaves_nothing(
    as_user: Sequence[str],
    open_dir: Path,
    descendants: Callable[[], Mapping[int, str]],
    eventually: Callable[..., bool],
) -> None:
    before = set(descendants())
    with _services(open_dir, prefix=as_user) as process:
        _lines(process)
        assert len(set(descendants()) - before) > 4
        process.kill()
        assert eventually(lambda: set(descendants()) <= before and not list(open_dir.iterdir()))


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGKILL])
def test_ending_it_while_it_starts_leaves_nothing(
    ending: signal.Signals,
    open_dir: Path,
    descendants: Callable[[], Mapping[int, str]],
    eventually: Callable[..., bool],
) -> None:
    before = set(descendants())
    with _services(open_dir) as process:
        assert eventually(lambda: any("initdb" in command for command in descendants().values()))
        process.send_signal(ending)
        process.communicate(timeout=20)
        assert eventually(lambda: set(descendants()) <= before and not list(open_dir.iterdir()))
    assert process.returncode == (0 if ending == signal.SIGTERM else -signal.SIGKILL)


@pytest.mark.parametrize("which", ["--kafka-port", "--postgres-port"])
def test_a_taken_port_ends_it_with_2(which: str, open_dir: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        options = [*_FREE_PORTS]
        options[options.index(which) + 1] = port
        with _services(open_dir, ports=options) as process:
            rest, messages = process.communicate(timeout=20)
    assert process.returncode == 2
    assert rest == ""
    assert port in messages
    assert which in messages
    assert "Traceback" not in messages
    assert list(open_dir.iterdir()) == []


@pytest.mark.parametrize(("victim", "name"), [(" broker ", "broker"), ("-D", "Postgres")])
def test_one_that_dies_takes_the_other_along(
    victim: str, name: str, open_dir: Path, descendants: Callable[[], Mapping[int, str]]
) -> None:
    before = set(descendants())
    with _services(open_dir) as process:
        _lines(process)
        (pid,) = (
            pid
            for pid, command in descendants().items()
            if pid not in before and victim in command and "supervisor.py" not in command
        )
        os.kill(pid, signal.SIGKILL)
        _, messages = process.communicate(timeout=20)
    assert process.returncode == 1
    assert f"The embedded {name} stopped on its own" in messages
    assert "by signal 9" in messages
    assert set(descendants()) <= before
    assert list(open_dir.iterdir()) == []


def test_a_data_folder_is_kept(open_dir: Path) -> None:
    folder = open_dir / "data"
    found = []
    for _ in range(2):
        with _services(open_dir, "--data-dir", str(folder)) as process:
            url = _lines(process)[1].strip().split("=", 1)[1]
            with psycopg.connect(url) as connection:
                connection.execute("CREATE TABLE IF NOT EXISTS kept (at timestamptz)")
                connection.execute("INSERT INTO kept VALUES (now())")
                found.append(connection.execute("SELECT count(*) FROM kept").fetchone())
            process.terminate()
            process.communicate(timeout=20)
        assert process.returncode == 0
    assert found == [(1,), (2,)]
    assert [entry.name for entry in open_dir.iterdir()] == ["data"]
