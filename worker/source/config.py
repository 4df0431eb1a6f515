"""The settings as the Kafka client takes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from worker.errors import SettingsError

if TYPE_CHECKING:
    from pathlib import Path

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
        config |= _tls(settings)
    return config


def _sasl(settings: Settings) -> dict[str, object]:
    if settings.kafka_sasl_mechanism is None:
        raise _needed("KAFKA_SASL_MECHANISM", settings)
    if settings.kafka_sasl_user is None:
        raise _needed("KAFKA_SASL_USER", settings)
    if settings.kafka_sasl_password is None:
        raise _needed("KAFKA_SASL_PASSWORD", settings)
    return {
        "sasl_mechanism": settings.kafka_sasl_mechanism,
        "sasl_plain_username": settings.kafka_sasl_user,
        "sasl_plain_password": settings.kafka_sasl_password.get_secret_value(),
    }


def _tls(settings: Settings) -> dict[str, object]:
    if (settings.kafka_cert_file is None) != (settings.kafka_key_file is None):
        raise SettingsError("WORKER_KAFKA_CERT_FILE and WORKER_KAFKA_KEY_FILE go together.")
    files = {
        "ssl_cafile": _file("KAFKA_CA_FILE", settings.kafka_ca_file),
        "ssl_certfile": _file("KAFKA_CERT_FILE", settings.kafka_cert_file),
        "ssl_keyfile": _file("KAFKA_KEY_FILE", settings.kafka_key_file),
    }
    return {name: path for name, path in files.items() if path is not None}


def _file(name: str, path: Path | None) -> str | None:
    if path is not None and not path.is_file():
        raise SettingsError(f"WORKER_{name}: there is no file {path}.")
    return None if path is None else str(path)


def _needed(name: str, settings: Settings) -> SettingsError:
    protocol = settings.kafka_security_protocol
    return SettingsError(
        f"WORKER_{name} is not set; WORKER_KAFKA_SECURITY_PROTOCOL={protocol} needs it."
    )
