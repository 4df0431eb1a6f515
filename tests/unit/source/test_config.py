from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer

from worker.errors import SettingsError
from worker.settings import Settings
from worker.source.config import client_config

if TYPE_CHECKING:
    from pathlib import Path


def settings(**given: Any) -> Settings:
    return Settings(kafka_bootstrap_servers="one:9092, [::1]:9093,", **given)


def test_plain() -> None:
    assert client_config(settings(kafka_client_id="me")) == {
        "bootstrap_servers": ["one:9092", "[::1]:9093"],
        "client_id": "me",
        "security_protocol": "PLAINTEXT",
    }


def test_sasl_over_tls(tmp_path: Path) -> None:
    files = {name: tmp_path / name for name in ("ca", "cert", "key")}
    for path in files.values():
        path.touch()
    config = client_config(
        settings(
            kafka_security_protocol="SASL_SSL",
            kafka_sasl_mechanism="SCRAM-SHA-512",
            kafka_sasl_user="me",
            kafka_sasl_password="secret",
            **{f"kafka_{name}_file": path for name, path in files.items()},
        )
    )
    assert {name: config[name] for name in config if name.startswith(("sasl", "ssl"))} == {
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": "me",
        "sasl_plain_password": "secret",
        "ssl_cafile": str(files["ca"]),
        "ssl_certfile": str(files["cert"]),
        "ssl_keyfile": str(files["key"]),
    }
    for client in (KafkaAdminClient, KafkaConsumer, KafkaProducer):
        assert config.keys() <= client.DEFAULT_CONFIG.keys()


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"kafka_bootstrap_servers": None}, "WORKER_KAFKA_BOOTSTRAP_SERVERS is not set"),
        ({"kafka_bootstrap_servers": ","}, "WORKER_KAFKA_BOOTSTRAP_SERVERS names no broker"),
        ({"kafka_bootstrap_servers": "a:1,b"}, "`b` is not host:port"),
        ({"kafka_bootstrap_servers": "a:0"}, "`a:0` is not host:port"),
        ({"kafka_bootstrap_servers": "a:http"}, "`a:http` is not host:port"),
        ({"kafka_sasl_user": "me"}, "make it SASL_SSL"),
        ({"kafka_security_protocol": "SASL_SSL"}, "WORKER_KAFKA_SASL_MECHANISM is not set"),
        (
            {"kafka_security_protocol": "SASL_SSL", "kafka_sasl_mechanism": "PLAIN"},
            "WORKER_KAFKA_SASL_USER is not set",
        ),
        (
            {
                "kafka_security_protocol": "SASL_PLAINTEXT",
                "kafka_sasl_mechanism": "PLAIN",
                "kafka_sasl_user": "me",
            },
            "WORKER_KAFKA_SASL_PASSWORD is not set",
        ),
        (
            {"kafka_security_protocol": "SSL", "kafka_ca_file": "nowhere.pem"},
            r"WORKER_KAFKA_CA_FILE: there is no file nowhere\.pem",
        ),
        ({"kafka_security_protocol": "SSL", "kafka_key_file": "k"}, "go together"),
    ],
)
def test_what_does_not_fit_is_named(given: dict[str, Any], named: str) -> None:
    with pytest.raises(SettingsError, match=named):
        client_config(Settings(**{"kafka_bootstrap_servers": "a:1", **given}))
