from __future__ import annotations

import pytest
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import create_engine

from worker.errors import SettingsError
from worker.store.connection import address, libpq_url, sqlalchemy_url


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg"])
def test_the_usual_schemes_mean_psycopg_3(scheme: str) -> None:
    url = f"{scheme}://me:secret@db:6432/posts?sslmode=require"
    assert libpq_url(url) == "postgresql://me:secret@db:6432/posts?sslmode=require"
    assert sqlalchemy_url(url).drivername == "postgresql+psycopg"
    assert address(url) == "db:6432/posts"


def test_what_libpq_is_told_of_tls_survives() -> None:
    options = "sslmode=verify-full&sslrootcert=/run/ca.pem&sslcert=/me.pem&sslkey=/me.key"
    url = (
        f"postgresql+psycopg://me:se%40cret@db:6432/posts?{options}&options=-crole%3Demotion_owner"
    )
    given = conninfo_to_dict(libpq_url(url))
    assert given == {
        "user": "me",
        "password": "se@cret",
        "host": "db",
        "port": "6432",
        "dbname": "posts",
        "sslmode": "verify-full",
        "sslrootcert": "/run/ca.pem",
        "sslcert": "/me.pem",
        "sslkey": "/me.key",
        "options": "-crole=emotion_owner",
    }
    arguments, named = create_engine(sqlalchemy_url(url)).dialect.create_connect_args(
        sqlalchemy_url(url)
    )
    assert arguments == []
    assert {name: str(value) for name, value in named.items() if name != "context"} == given


def test_sockets_and_lists_of_hosts_are_fine() -> None:
    assert libpq_url("postgresql://me@/posts?host=/var/run/postgresql")
    assert libpq_url("postgresql://a:1,b:2/posts")


@pytest.mark.parametrize(
    "url",
    [
        "mysql://me:hidden@db/posts",
        "postgresql:me:hidden",
        "postgresql://me:hid@den#hidden@db/posts",
        "postgresql://me:hid/den@db/posts",
        "postgresql://me:hidden@db:99999/posts",
        "postgresql://me:hidden@db:port/posts",
        "postgresql://me:hidden%zz@db/posts",
        "",
    ],
)
def test_what_is_no_url_is_refused_without_its_secret(url: str) -> None:
    with pytest.raises(SettingsError, match="WORKER_DATABASE_URL") as raised:
        libpq_url(url)
    assert "hid" not in str(raised.value)
    assert "den" not in str(raised.value)
