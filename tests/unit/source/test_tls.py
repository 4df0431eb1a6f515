"""What the TLS settings make, refuse, and say of who does not fit; against a server of our own."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from worker.errors import DependencyError, SettingsError
from worker.settings import Settings
from worker.source.reach import await_broker
from worker.source.tls import tls_context

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

SECRET = "hunter2"


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def files(ca: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`ca.pem`, `other.pem`, `me.pem` with `me.key` and `me.locked`, `you.pem` with `you.key`."""
    folder = tmp_path_factory.mktemp("certificates")
    other = trustme.CA()
    ca.cert_pem.write_to_path(folder / "ca.pem")
    other.cert_pem.write_to_path(folder / "other.pem")
    for name, issuer in (("me", ca), ("you", other)):
        cert = issuer.issue_cert(f"{name}@example.org")
        cert.cert_chain_pems[0].write_to_path(folder / f"{name}.pem")
        cert.private_key_pem.write_to_path(folder / f"{name}.key")
    key = load_pem_private_key((folder / "me.key").read_bytes(), None)
    (folder / "me.locked").write_bytes(
        key.private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(SECRET.encode())
        )
    )
    (folder / "junk.pem").write_text("certainly no certificate")
    return folder


def settings(folder: Path, **given: Any) -> Settings:
    paths = {name: folder / path for name, path in given.items() if name.endswith("_file")}
    return Settings(
        **{
            "kafka_bootstrap_servers": "127.0.0.1:1",
            "kafka_security_protocol": "SSL",
            **given,
            **paths,
        }
    )


def test_without_files_the_systems_authorities_are_trusted(files: Path) -> None:
    context = tls_context(settings(files))
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2


def test_only_what_is_given_is_trusted(files: Path) -> None:
    stats = tls_context(settings(files, kafka_ca_file="ca.pem")).cert_store_stats()
    assert stats == {"x509": 1, "crl": 0, "x509_ca": 1}


@pytest.mark.parametrize(
    "given",
    [
        {"kafka_cert_file": "me.pem", "kafka_key_file": "me.key"},
        {
            "kafka_cert_file": "me.pem",
            "kafka_key_file": "me.locked",
            "kafka_key_password": SECRET,
        },
        # a key that is not locked asks for no password
        {"kafka_cert_file": "me.pem", "kafka_key_file": "me.key", "kafka_key_password": SECRET},
    ],
)
def test_a_certificate_of_ours_is_taken(files: Path, given: dict[str, Any]) -> None:
    tls_context(settings(files, **given))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"kafka_ca_file": "none.pem"}, r"WORKER_KAFKA_CA_FILE: there is no file .*none\.pem"),
        ({"kafka_ca_file": "junk.pem"}, r"WORKER_KAFKA_CA_FILE: .*junk\.pem holds no certificates"),
        ({"kafka_cert_file": "me.pem"}, "CERT_FILE and WORKER_KAFKA_KEY_FILE go together"),
        ({"kafka_key_file": "me.key"}, "CERT_FILE and WORKER_KAFKA_KEY_FILE go together"),
        (
            {"kafka_cert_file": "me.pem", "kafka_key_file": "none.key"},
            r"WORKER_KAFKA_KEY_FILE: there is no file .*none\.key",
        ),
        (
            {"kafka_cert_file": "me.pem", "kafka_key_file": "you.key"},
            "the key is not that of the certificate",
        ),
        ({"kafka_cert_file": "junk.pem", "kafka_key_file": "me.key"}, "no certificate and key"),
        (
            {"kafka_cert_file": "me.pem", "kafka_key_file": "me.locked"},
            "then set WORKER_KAFKA_KEY_PASSWORD",
        ),
        (
            {
                "kafka_cert_file": "me.pem",
                "kafka_key_file": "me.locked",
                "kafka_key_password": "wrong",
            },
            "or WORKER_KAFKA_KEY_PASSWORD is wrong",
        ),
        ({"kafka_key_password": SECRET}, "WORKER_KAFKA_KEY_PASSWORD is set without"),
    ],
)
def test_what_does_not_fit_is_named_and_no_secret_shown(
    files: Path, given: dict[str, Any], said: str
) -> None:
    with pytest.raises(SettingsError, match=said) as raised:
        tls_context(settings(files, **given))
    assert SECRET not in str(raised.value)
    assert "\n" not in str(raised.value)


@contextmanager
def listener(serve: Callable[[socket.socket], None]) -> Iterator[str]:
    """Serves each connection on a thread; `host:port`."""
    threads: list[threading.Thread] = []

    def accept(server: socket.socket) -> None:
        with suppress(OSError):
            while True:
                client = server.accept()[0]
                thread = threading.Thread(target=one, args=(client,), daemon=True)
                threads.append(thread)
                thread.start()

    def one(client: socket.socket) -> None:
        with suppress(OSError), client:
            serve(client)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=accept, args=(server,), daemon=True)
        thread.start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)
        thread.join(5)
    for thread in threads:
        thread.join(5)


def secured(
    ca: trustme.CA, *, name: str = "127.0.0.1", mutual: bool = False
) -> Callable[[socket.socket], None]:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    ca.issue_cert(name).configure_cert(context)
    if mutual:
        ca.configure_trust(context)
        context.verify_mode = ssl.CERT_REQUIRED

    def serve(client: socket.socket) -> None:
        with context.wrap_socket(client, server_side=True) as stream:
            assert stream.recv(14)[4:6] == b"\0\x12"  # ApiVersions
            stream.sendall(b"\0\0\0\x06\0\0\0\0\0\0")

    return serve


ME = {"kafka_cert_file": "me.pem", "kafka_key_file": "me.key"}
YOU = {"kafka_cert_file": "you.pem", "kafka_key_file": "you.key"}


@pytest.mark.parametrize(("mutual", "own"), [(False, {}), (False, YOU), (True, ME)])
def test_who_trusts_each_other_is_let_through(
    ca: trustme.CA, files: Path, mutual: bool, own: dict[str, str]
) -> None:
    with listener(secured(ca, mutual=mutual)) as server:
        given = {"kafka_bootstrap_servers": server, "kafka_ca_file": "ca.pem", **own}
        await_broker(settings(files, **given), timeout_s=5)


@pytest.mark.parametrize(
    ("given", "mutual", "said"),
    [
        ({"kafka_ca_file": "other.pem"}, False, r"Does WORKER_KAFKA_CA_FILE \(.*other\.pem\) hold"),
        ({}, False, r"Does WORKER_KAFKA_CA_FILE \(the system's authorities\) hold"),
        (
            {"kafka_ca_file": "ca.pem"},
            True,
            r"refuses the TLS handshake \(.*\)\. .*WORKER_KAFKA_CERT_FILE \(none is set\)",
        ),
        (
            {"kafka_ca_file": "ca.pem", **YOU},
            True,
            r"refuses the TLS handshake \(.*\)\. .*WORKER_KAFKA_CERT_FILE \(.*you\.pem\)",
        ),
    ],
)
def test_who_does_not_is_told_why_at_once(
    ca: trustme.CA, files: Path, given: dict[str, str], mutual: bool, said: str
) -> None:
    began = time.monotonic()
    with listener(secured(ca, mutual=mutual)) as server:
        wanted = settings(files, kafka_bootstrap_servers=server, **given)
        with pytest.raises(DependencyError, match=said):
            await_broker(wanted, timeout_s=30)
    assert time.monotonic() - began < 10


def test_a_certificate_for_another_name_is_refused(ca: trustme.CA, files: Path) -> None:
    with listener(secured(ca, name="kafka.example.org")) as server:
        given = settings(files, kafka_bootstrap_servers=server, kafka_ca_file="ca.pem")
        with pytest.raises(DependencyError, match="does WORKER_KAFKA_BOOTSTRAP_SERVERS name it"):
            await_broker(given, timeout_s=30)


def test_a_plaintext_port_is_told_from_a_wrong_certificate(files: Path) -> None:
    def plain(client: socket.socket) -> None:
        client.sendall(b"HTTP/1.0 400 Bad Request\r\n\r\n")
        client.recv(1)

    with listener(plain) as server:
        given = settings(files, kafka_bootstrap_servers=server, kafka_ca_file="ca.pem")
        with pytest.raises(DependencyError, match="WORKER_KAFKA_SECURITY_PROTOCOL is SSL"):
            await_broker(given, timeout_s=30)


@pytest.mark.parametrize("mute", [True, False], ids=["mute", "hangs-up"])
def test_one_that_shakes_no_hands_is_not_waited_for_for_ever(files: Path, mute: bool) -> None:
    over = threading.Event()

    def serve(client: socket.socket) -> None:
        client.recv(1)
        if mute:
            over.wait(10)

    with listener(serve) as server:
        given = settings(files, kafka_bootstrap_servers=server, kafka_ca_file="ca.pem")
        with pytest.raises(DependencyError, match=r"could be reached.*TLS handshake"):
            await_broker(given, timeout_s=0.5)
        over.set()
