"""The settings as the Kafka client takes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from worker.errors import SettingsError
from worker.source.tls import tls_context

if TYPE_CHECKING:
    from worker.settings import Settings


def bootstrap_servers(settings: Settings) -> list[str]:
    """The brokers to begin with, each `host:port`.

    Raises:
        SettingsError: They are not set, or one is not of that form.
    """
    servers = [part.strip() for part in settings.kafka.split(",") if part.strip()]
    for server in servers:
        host, _, port = server.rpartition(":")
        if not host or not (port.isdecimal() and 0 < int(port) < 65_536):
            raise SettingsError(
                f"WORKER_KAFKA_BOOTSTRAP_SERVERS: `{server}` is not host:port, as localhost:9092."
            )
    if not servers:
        raise SettingsError("WORKER_KAFKA_BOOTSTRAP_SERVERS names no broker: host:port, ...")
    return servers


def client_config(settings: Settings) -> dict[str, object]:
    """What every kafka-python client takes: where the brokers are, and how to speak to them.

    Raises:
        SettingsError: A setting is missing, contradicts another, or names a file that is not there.
    """
    protocol = settings.kafka_security_protocol
    config: dict[str, object] = {
        "bootstrap_servers": bootstrap_servers(settings),
        "client_id": settings.kafka_client_id,
        "security_protocol": protocol,
    }
    if protocol.startswith("SASL"):
        config |= _sasl(settings)
    elif settings.kafka_sasl_mechanism or settings.kafka_sasl_user or settings.kafka_sasl_password:
        raise SettingsError(
            f"WORKER_KAFKA_SASL_... is set, but WORKER_KAFKA_SECURITY_PROTOCOL is {protocol}: "
            "make it SASL_SSL (or SASL_PLAINTEXT), or unset the former."
        )
    if protocol.endswith("SSL"):
        config["ssl_context"] = tls_context(settings)
    else:
        _no_tls(settings)
    return config


def exposures(settings: Settings) -> list[str]:
    """What of the settings lets others listen that perhaps should not; a sentence each."""
    if settings.kafka_security_protocol != "SASL_PLAINTEXT":
        return []
    if settings.kafka_sasl_mechanism == "PLAIN":
        what = "the password and the posts go over the network readable"
    else:
        what = "the posts go over the network readable, and who listens can guess at the password"
    return [f"WORKER_KAFKA_SECURITY_PROTOCOL=SASL_PLAINTEXT: {what}; SASL_SSL encrypts them"]


def _sasl(settings: Settings) -> dict[str, object]:
    if settings.kafka_sasl_mechanism is None:
        raise _needed("KAFKA_SASL_MECHANISM", settings)
    if settings.kafka_sasl_user is None:
        raise _needed("KAFKA_SASL_USER", settings)
    if settings.kafka_sasl_password is None:
        raise _needed("KAFKA_SASL_PASSWORD", settings)
    user = settings.kafka_sasl_user
    if settings.kafka_sasl_mechanism != "PLAIN":
        # RFC 5802, section 5.1, which kafka-python 3.0.12 leaves out.
        user = user.replace("=", "=3D").replace(",", "=2C")
    return {
        "sasl_mechanism": settings.kafka_sasl_mechanism,
        "sasl_plain_username": user,
        "sasl_plain_password": settings.kafka_sasl_password.get_secret_value(),
    }


def _no_tls(settings: Settings) -> None:
    given = {
        "CA_FILE": settings.kafka_ca_file,
        "CERT_FILE": settings.kafka_cert_file,
        "KEY_FILE": settings.kafka_key_file,
        "KEY_PASSWORD": settings.kafka_key_password,
    }
    names = [f"WORKER_KAFKA_{name}" for name, value in given.items() if value is not None]
    if names:
        raise SettingsError(
            f"{', '.join(names)}: set, but WORKER_KAFKA_SECURITY_PROTOCOL is "
            f"{settings.kafka_security_protocol}, which knows no TLS: make it SSL or SASL_SSL, or "
            "unset the former."
        )


def _needed(name: str, settings: Settings) -> SettingsError:
    protocol = settings.kafka_security_protocol
    return SettingsError(
        f"WORKER_{name} is not set; WORKER_KAFKA_SECURITY_PROTOCOL={protocol} needs it."
    )
