"""TLS to the brokers: what the settings make of it, and what a broker says to it.

The Kafka client logs why a handshake failed and tries until it is late. So a connection of our own
goes before it, over the same context.
"""

from __future__ import annotations

import ssl
import struct
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from worker.errors import DependencyError, SettingsError

if TYPE_CHECKING:
    import socket
    from pathlib import Path

    from worker.settings import Settings

_API_VERSIONS: Final = struct.pack(">ihhih", 10, 18, 0, 0, -1)
"""A request that every broker answers, before any authentication: ApiVersions, version 0."""
_ALERTS: Final = ("ALERT", "HANDSHAKE_FAILURE")
"""In the reason of an error that the other side sent us."""


def tls_context(settings: Settings) -> ssl.SSLContext:
    """How to speak TLS: whom to trust, and who we are. Names are checked, TLS is 1.2 or newer.

    Raises:
        SettingsError: A file is missing, or does not hold what it should; the message names the
            setting, never what the file holds.
    """
    ca, cert, key = settings.kafka_ca_file, settings.kafka_cert_file, settings.kafka_key_file
    if (cert is None) != (key is None):
        raise SettingsError("WORKER_KAFKA_CERT_FILE and WORKER_KAFKA_KEY_FILE go together.")
    if settings.kafka_key_password is not None and key is None:
        raise SettingsError("WORKER_KAFKA_KEY_PASSWORD is set without a WORKER_KAFKA_KEY_FILE.")
    for name, path in (("CA", ca), ("CERT", cert), ("KEY", key)):
        _readable(f"WORKER_KAFKA_{name}_FILE", path)
    try:
        context = ssl.create_default_context(cafile=ca)
    except ssl.SSLError as error:
        raise SettingsError(
            f"WORKER_KAFKA_CA_FILE: {ca} holds no certificates in PEM ({_reason(error)})."
        ) from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if cert is not None:
        _load_own(context, settings)
    return context


def _load_own(context: ssl.SSLContext, settings: Settings) -> None:
    cert, key, given = (
        settings.kafka_cert_file,
        settings.kafka_key_file,
        settings.kafka_key_password,
    )
    assert cert is not None

    def password() -> str:  # without one, OpenSSL would ask on the terminal
        return "" if given is None else given.get_secret_value()

    try:
        context.load_cert_chain(cert, key, password)
    except (ssl.SSLError, ValueError) as error:
        reason = _reason(error)
        if "MISMATCH" in reason:
            what = "the key is not that of the certificate"
        elif given is None:
            what = (
                "they are no certificate and key in PEM; or the key is encrypted: then set "
                "WORKER_KAFKA_KEY_PASSWORD"
            )
        else:
            what = "they are no certificate and key in PEM, or WORKER_KAFKA_KEY_PASSWORD is wrong"
        raise SettingsError(
            f"WORKER_KAFKA_CERT_FILE and WORKER_KAFKA_KEY_FILE: {what} ({reason})."
        ) from None


def _readable(name: str, path: Path | None) -> None:
    if path is None:
        return
    if not path.is_file():
        raise SettingsError(f"{name}: there is no file {path}.")
    try:
        with path.open("rb"):
            pass
    except OSError as error:
        raise SettingsError(f"{name}: {path} cannot be read: {error.strerror}.") from None


def greet(plain: socket.socket, server: str, settings: Settings) -> None:
    """Shakes hands over a fresh connection to `server` (`host:port`), and waits for an answer.

    A broker that wants a certificate of ours says so only then (TLS 1.3). A peer that says nothing
    must not be left to the Kafka client: kafka-python 3.0.12 waits for a handshake for ever.

    Raises:
        DependencyError: One side does not trust the other, or `server` does not speak TLS.
        OSError: There was no handshake: try again.
    """
    host = server.rpartition(":")[0].strip("[]")
    context = tls_context(settings)
    try:
        with context.wrap_socket(plain, server_hostname=host.rstrip(".")) as secured:
            secured.sendall(_API_VERSIONS)
            with suppress(TimeoutError, ConnectionError):
                secured.recv(1)
    except ssl.SSLCertVerificationError as error:
        trusted = settings.kafka_ca_file or "the system's authorities"
        raise DependencyError(
            f"The certificate of the Kafka broker at {server} is not to be trusted: "
            f"{error.verify_message.rstrip('.')}. Does WORKER_KAFKA_CA_FILE ({trusted}) hold the "
            "authority that signed it, and does WORKER_KAFKA_BOOTSTRAP_SERVERS name it as the "
            "certificate does?"
        ) from None
    except ssl.SSLError as error:
        reason = _reason(error)
        if any(word in reason for word in _ALERTS):
            shown = settings.kafka_cert_file or "none is set"
            raise DependencyError(
                f"The Kafka broker at {server} refuses the TLS handshake ({reason}). If it wants a "
                f"certificate of ours, is WORKER_KAFKA_CERT_FILE ({shown}) one that it trusts?"
            ) from None
        if isinstance(error, ssl.SSLEOFError):
            raise ConnectionError("it hung up on the TLS handshake") from None
        raise DependencyError(
            f"What listens at {server} speaks no TLS that we know ({reason}). Is it the broker's "
            "plaintext port? WORKER_KAFKA_SECURITY_PROTOCOL is "
            f"{settings.kafka_security_protocol}."
        ) from None
    except OSError as error:
        raise ConnectionError(f"no TLS handshake: {error.strerror or error}") from None


def _reason(error: Exception) -> str:
    reason = getattr(error, "reason", None)
    return str(reason) if reason else type(error).__name__
