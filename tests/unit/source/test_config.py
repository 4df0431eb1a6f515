from __future__ import annotations

import ssl
from typing import Any

import pytest
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer

from worker.errors import SettingsError
from worker.settings import Settings
from worker.source.config import client_config, exposures


def settings(**given: Any) -> Settings:
    return Settings(kafka_bootstrap_servers="one:9092, [::1]:9093,", **given)


def test_plain() -> None:
    assert client_config(settings(kafka_client_id="me")) == {
        "bootstrap_servers": ["one:9092", "[::1]:9093"],
        "client_id": "me",
        "security_protocol": "PLAINTEXT",
    }


def test_sasl_over_tls() -> None:
    config = client_config(
        settings(
            kafka_security_protocol="SASL_SSL",
            kafka_sasl_mechanism="SCRAM-SHA-512",
            kafka_sasl_user="me",
            kafka_sasl_password="secret",
        )
    )
    assert isinstance(config["ssl_context"], ssl.SSLContext)
    assert {name: config[name] for name in config if name.startswith("sasl")} == {
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": "me",
        "sasl_plain_password": "secret",
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


@pytest.mark.parametrize("protocol", ["PLAINTEXT", "SASL_PLAINTEXT"])
@pytest.mark.parametrize(
    "name", ["kafka_ca_file", "kafka_cert_file", "kafka_key_file", "kafka_key_password"]
)
def test_what_only_tls_has_is_no_word_in_the_wind(protocol: str, name: str) -> None:
    given = {"kafka_security_protocol": protocol, name: "x"}
    if protocol != "PLAINTEXT":
        given |= {"kafka_sasl_mechanism": "PLAIN", "kafka_sasl_user": "me"}
        given["kafka_sasl_password"] = "hunter2"
    with pytest.raises(SettingsError, match=f"WORKER_{name.upper()}: set, but") as raised:
        client_config(settings(**given))
    assert "make it SSL or SASL_SSL" in str(raised.value)


@pytest.mark.parametrize(
    ("mechanism", "user"), [("PLAIN", "a=b,c"), ("SCRAM-SHA-256", "a=3Db=2Cc")]
)
def test_a_user_is_written_as_its_mechanism_wants_it(mechanism: str, user: str) -> None:
    config = client_config(
        settings(
            kafka_security_protocol="SASL_SSL",
            kafka_sasl_mechanism=mechanism,
            kafka_sasl_user="a=b,c",
            kafka_sasl_password="secret",
        )
    )
    assert config["sasl_plain_username"] == user


@pytest.mark.parametrize(
    ("protocol", "mechanism", "said"),
    [
        ("PLAINTEXT", None, None),
        ("SSL", None, None),
        ("SASL_SSL", "PLAIN", None),
        ("SASL_PLAINTEXT", "PLAIN", "the password and the posts go over the network readable"),
        ("SASL_PLAINTEXT", "SCRAM-SHA-512", "who listens can guess at the password"),
    ],
)
def test_a_password_over_plaintext_is_warned_of(
    protocol: str, mechanism: str | None, said: str | None
) -> None:
    found = exposures(settings(kafka_security_protocol=protocol, kafka_sasl_mechanism=mechanism))
    assert (said is None) == (not found)
    assert all(said in one for one in found if said is not None)
