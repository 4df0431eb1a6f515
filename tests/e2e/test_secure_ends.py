"""The worker over TLS and SASL to Kafka, and over TLS to Postgres, with its secrets in files."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
import trustme

from tests.fakes.gateway import HOST, KafkaGateway, PostgresGateway

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.e2e

USER, PASSWORD = "a=b,c", "hunter2-hunter2"


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def files(ca: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certificates")
    ca.cert_pem.write_to_path(folder / "ca.pem")
    trustme.CA().cert_pem.write_to_path(folder / "other.pem")
    own = ca.issue_cert("worker@example.org")
    own.cert_chain_pems[0].write_to_path(folder / "me.pem")
    own.private_key_pem.write_to_path(folder / "me.key")
    (folder / "password").write_text(PASSWORD + "\n")
    return folder


@pytest.fixture(scope="module")
def server_side(ca: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    ca.issue_cert(HOST).configure_cert(context)
    return context


@pytest.fixture
def broker(
    ca: trustme.CA, server_side: ssl.SSLContext, kafka_bootstrap: str
) -> Iterator[KafkaGateway]:
    """Wants a certificate and a password."""
    if not kafka_bootstrap.startswith(f"{HOST}:") or "," in kafka_bootstrap:
        pytest.skip("the gateway stands before a single broker on the loopback interface")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    ca.issue_cert(HOST).configure_cert(context)
    ca.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    with KafkaGateway(kafka_bootstrap, tls=context, users={USER: PASSWORD}) as gateway:
        yield gateway


@pytest.fixture
def database(server_side: ssl.SSLContext, database_url: str) -> Iterator[PostgresGateway]:
    parts = urlsplit(database_url)
    if parts.hostname is None:
        pytest.skip("the gateway stands before a Postgres that listens on TCP")
    with PostgresGateway((parts.hostname, parts.port or 5432), server_side) as gateway:
        yield gateway


def kafka(broker: KafkaGateway, files: Path, mechanism: str, ca_file: str) -> dict[str, str]:
    return {
        "WORKER_KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap_servers,
        "WORKER_KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
        "WORKER_KAFKA_SASL_MECHANISM": mechanism,
        "WORKER_KAFKA_SASL_USER": USER,
        "WORKER_KAFKA_SASL_PASSWORD_FILE": str(files / "password"),
        "WORKER_KAFKA_CA_FILE": str(files / ca_file),
        "WORKER_KAFKA_CERT_FILE": str(files / "me.pem"),
        "WORKER_KAFKA_KEY_FILE": str(files / "me.key"),
    }


def over_tls(url: str, database: PostgresGateway, root: Path) -> str:
    parts = urlsplit(url)
    return parts._replace(
        netloc=f"{parts.netloc.rpartition('@')[0]}@{HOST}:{database.port}",
        query=f"sslmode=verify-full&sslrootcert={root}",
    ).geturl()


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
def test_a_worker_with_everything_secured(
    run: Callable[..., Any],
    query: Callable[..., Any],
    make_topic: Callable[..., str],
    produce: Callable[..., Any],
    a_post: Callable[..., Any],
    broker: KafkaGateway,
    database: PostgresGateway,
    database_url: str,
    files: Path,
    tmp_path: Path,
    mechanism: str,
) -> None:
    topic = make_topic(partitions=2)
    produce(topic, [a_post(n) for n in range(20)])
    (tmp_path / "url").write_text(over_tls(database_url, database, files / "ca.pem"))
    settings = {
        **kafka(broker, files, mechanism, "ca.pem"),
        "WORKER_DATABASE_URL": "",  # an empty one counts as not set
        "WORKER_DATABASE_URL_FILE": str(tmp_path / "url"),
        "WORKER_TOPICS": topic,
    }
    code, _, err = run("run", "--drain", **settings)
    assert code == 0, err
    assert query("SELECT count(*) FROM post_emotions") == [(20,)]
    assert set(broker.mechanisms) == {mechanism}
    assert all(broker.peers)
    assert database.peers
    for secret in (PASSWORD, urlsplit(database_url).password or PASSWORD):
        assert secret not in err


def test_ends_that_are_not_to_be_trusted_are_told_from_others(
    run: Callable[..., Any],
    broker: KafkaGateway,
    database: PostgresGateway,
    database_url: str,
    files: Path,
) -> None:
    code, out, err = run(
        "check",
        **kafka(broker, files, "PLAIN", "other.pem"),
        WORKER_DATABASE_URL=over_tls(database_url, database, files / "other.pem"),
    )
    assert (code, err) == (3, "")
    assert f"Does WORKER_KAFKA_CA_FILE ({files / 'other.pem'}) hold the authority" in out
    assert "certificate verify failed" in out
    assert "is WORKER_DATABASE_URL right?" in out
    assert broker.mechanisms == []


def test_a_wrong_password_names_its_settings(
    run: Callable[..., Any], broker: KafkaGateway, files: Path, tmp_path: Path
) -> None:
    (tmp_path / "password").write_text("wrong")
    settings = kafka(broker, files, "SCRAM-SHA-512", "ca.pem")
    settings["WORKER_KAFKA_SASL_PASSWORD_FILE"] = str(tmp_path / "password")
    code, out, err = run("check", **settings)
    assert code == 3, err
    assert "WORKER_KAFKA_SASL_USER and WORKER_KAFKA_SASL_PASSWORD right" in out
    assert broker.mechanisms == []
