"""Whom Postgres runs as (it refuses root), and whether that user can reach its files."""

from __future__ import annotations

import os
import pwd
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path

from worker.errors import DependencyError, SettingsError


@dataclass(frozen=True, slots=True)
class Account:
    """An unprivileged user of this system."""

    name: str
    uid: int
    gid: int


def service_account(owner: int | None = None) -> Account | None:
    """The user to run a service as: None (ourselves) unless we are root.

    Args:
        owner: The uid that the service's files already belong to, which is then the one.

    Raises:
        DependencyError: We are root, and the system has no user to become.
    """
    if os.geteuid() != 0:
        return None
    if owner:
        return _account(owner)
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(name, entry.pw_uid, entry.pw_gid)
    raise DependencyError(
        "Postgres does not run as root, and this system has neither a user `postgres` nor "
        "`nobody` to run it as. Add one (useradd --system postgres), or run as an ordinary user."
    )


def _account(uid: int) -> Account:
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        return Account(str(uid), uid, uid)
    return Account(entry.pw_name, uid, entry.pw_gid)


def blocked_at(path: Path, account: Account) -> Path | None:
    """The first folder on the way into `path` that `account` may not pass; None: all are open."""
    path = path.resolve()
    for folder in (*reversed(path.parents), path):
        status = folder.stat()
        if status.st_uid == account.uid:
            allowed = status.st_mode & stat.S_IXUSR
        elif status.st_gid == account.gid:
            allowed = status.st_mode & stat.S_IXGRP
        else:
            allowed = status.st_mode & stat.S_IXOTH
        if not allowed:
            return folder
    return None


def make_run_dir(account: Account | None) -> Path:
    """Makes a private temporary folder whose inside `account` can reach.

    Its path is short enough for a Unix socket in it (107 characters at most).

    Raises:
        SettingsError: No temporary folder will do.
    """
    tried = []
    for base in dict.fromkeys((Path(tempfile.gettempdir()), Path("/tmp"), Path("/var/tmp"))):  # noqa: S108
        if not os.access(base, os.W_OK | os.X_OK):
            tried.append(f"{base} (not writable)")
        elif len(str(base)) > 60:
            tried.append(f"{base} (too long for a Unix socket)")
        elif account is not None and blocked_at(base, account) is not None:
            tried.append(f"{base} (closed to user {account.name})")
        else:
            folder = Path(tempfile.mkdtemp(prefix="emotion-", dir=base))
            if account is not None:
                # Ours, with the service's own folders inside: what root writes here the service's
                # user cannot redirect.
                folder.chmod(0o711)
            return folder
    raise SettingsError(f"No temporary folder will do: {', '.join(tried)}. Set TMPDIR to another.")


def give(path: Path, account: Account | None) -> None:
    """Makes `account` the owner of `path`.

    Raises:
        DependencyError: This root may not do so, as in a container with no other users.
    """
    if account is None:
        return
    try:
        os.chown(path, account.uid, account.gid, follow_symlinks=False)
    except OSError as error:
        raise DependencyError(
            f"Postgres does not run as root, and this root cannot act as the user {account.name} "
            f"({error}). Run as an ordinary user."
        ) from None
