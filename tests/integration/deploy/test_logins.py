"""The logins of docker-compose.yml: each may do what its service does, and no more."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg import errors

from worker.store.migrate import upgrade

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Login = Callable[[str], str]

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(shutil.which("psql") is None, reason="psql is not installed"),
]

DEPLOY = Path(__file__).parents[3] / "deploy"
LOGINS = ("emotion_keeper", "emotion_worker", "emotion_grafana")


def _run(url: str, secrets: Path) -> None:
    """What the services `roles` and `rights` do, with the secrets elsewhere."""
    logins = (DEPLOY / "docker" / "logins.sql").read_text(encoding="utf-8")
    assert logins.count("/run/secrets/") == 3
    script = secrets / "logins.sql"
    script.write_text(logins.replace("/run/secrets", str(secrets)), encoding="utf-8")
    subprocess.run(
        [
            *("psql", "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", f"--dbname={url}"),
            *(f"--file={DEPLOY / 'sql' / 'roles.sql'}", f"--file={script}"),
        ],
        check=True,
        capture_output=True,
        timeout=60,
    )


@pytest.fixture
def login(empty_database_url: str, tmp_path: Path) -> Iterator[Login]:
    """A database as the compose file's services leave it; gives a login's URL."""
    with psycopg.connect(empty_database_url, autocommit=True) as admin:
        roles = admin.execute("SELECT rolname FROM pg_roles WHERE rolname LIKE 'emotion%'")
        if found := {name for (name,) in roles}.intersection(LOGINS):
            pytest.skip(f"the server has the logins {found} already")
    for name in ("keeper", "worker", "reader"):
        (tmp_path / f"{name}_password").write_text(f"secret of the {name}", encoding="utf-8")

    def url(name: str) -> str:
        parts = urlsplit(empty_database_url)
        address = parts.netloc.rpartition("@")[2]
        secret = name.replace("grafana", "reader")
        return parts._replace(
            netloc=f"emotion_{name}:secret%20of%20the%20{secret}@{address}"
        ).geturl()

    try:
        _run(empty_database_url, tmp_path)
        upgrade(url("keeper"))
        _run(empty_database_url, tmp_path)
        yield url
    finally:
        with psycopg.connect(empty_database_url, autocommit=True) as admin:
            for name in LOGINS:
                admin.execute(f"DROP ROLE IF EXISTS {name}")


def test_what_the_keeper_makes_is_the_owners(login: Login) -> None:
    with psycopg.connect(login("keeper")) as keeper:
        owners = keeper.execute(
            "SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'"
        ).fetchall()
    assert owners == [("emotion_owner",)]


def test_the_worker_writes_rows_and_changes_no_table(login: Login) -> None:
    with psycopg.connect(login("worker"), autocommit=True) as worker:
        worker.execute("SELECT count(*) FROM post_emotions")
        worker.execute("UPDATE stream_offsets SET owner_id = owner_id")
        with pytest.raises(errors.InsufficientPrivilege):
            worker.execute("ALTER TABLE posts ADD COLUMN x int")
        with pytest.raises(errors.InsufficientPrivilege):
            worker.execute("CREATE TABLE mine (x int)")


def test_dashboards_read_trends_and_write_nothing(login: Login) -> None:
    with psycopg.connect(login("grafana"), autocommit=True) as grafana:
        grafana.execute("SELECT count(*) FROM emotion_trends")
        for statement in (
            "DELETE FROM post_emotions",
            "SELECT text FROM post_emotions",
            "SELECT value FROM dead_letters",
        ):
            with pytest.raises(errors.InsufficientPrivilege):
                grafana.execute(statement)
