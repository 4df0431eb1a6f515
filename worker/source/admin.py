"""Topics: whether they are there, and making them."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from kafka import KafkaAdminClient
from kafka.errors import (
    ClusterAuthorizationFailedError,
    PolicyViolationError,
    TopicAlreadyExistsError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
    for_code,
)

from worker.errors import SettingsError, WorkerError
from worker.source.config import client_config
from worker.source.reach import brief, broker_errors, connecting

if TYPE_CHECKING:
    from collections.abc import Iterator

    from worker.settings import Settings

REACH_SECONDS: Final = 10.0
"""How long to wait for a broker before giving up."""
_TOPIC_NAME: Final = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9._-]{1,249}", re.ASCII)


def topic_partitions(
    settings: Settings, topic: str, *, timeout_s: float = REACH_SECONDS
) -> list[int] | None:
    """The numbers of the topic's partitions, in order; None if there is no such topic.

    Raises:
        SettingsError: The settings are wrong, or the name cannot be a topic's.
        DependencyError: The broker could not be reached within `timeout_s` seconds, or failed.
        WorkerError: The broker does not let us look at the topic.
    """
    _check_name(topic)
    with _admin(settings, timeout_s) as admin:
        return _partitions(admin, topic)


def ensure_topic(
    settings: Settings, topic: str, partitions: int, *, timeout_s: float = REACH_SECONDS
) -> bool:
    """Makes the topic if there is none; one that is there keeps the partitions it has.

    The broker's default replication factor applies. Returns once every partition has a leader.

    Returns:
        Whether it was made.

    Raises:
        SettingsError: The settings are wrong, or the name cannot be a topic's.
        DependencyError: The broker could not be reached within `timeout_s` seconds, or failed.
        WorkerError: The broker does not let us make the topic.
    """
    _check_name(topic)
    with _admin(settings, timeout_s) as admin:
        if _partitions(admin, topic) is not None:
            return False
        try:
            admin.create_topics({topic: {"num_partitions": partitions}}, wait_for_metadata=True)
        except TopicAlreadyExistsError:
            return False
        except (
            ClusterAuthorizationFailedError,
            PolicyViolationError,
            TopicAuthorizationFailedError,
        ) as error:
            raise WorkerError(
                f"The Kafka broker refused to make the topic `{topic}` ({brief(error)}): "
                "ask whoever runs it to make it."
            ) from error
    return True


@contextmanager
def _admin(settings: Settings, timeout_s: float) -> Iterator[KafkaAdminClient]:
    config = client_config(settings)
    timeout_ms = round(timeout_s * 1_000)
    with connecting(settings, timeout_s=timeout_s):
        admin = KafkaAdminClient(
            **config, bootstrap_timeout_ms=timeout_ms, request_timeout_ms=timeout_ms
        )
    try:
        with broker_errors(settings, "answering about topics"):
            yield admin
    finally:
        admin.close()


def _partitions(admin: KafkaAdminClient, topic: str) -> list[int] | None:
    (description,) = admin.describe_topics([topic])
    error = for_code(description["error_code"])
    if error is UnknownTopicOrPartitionError:
        return None
    if error is TopicAuthorizationFailedError:
        raise WorkerError(f"The Kafka broker does not let this user look at the topic `{topic}`.")
    if description["error_code"]:
        raise error
    return sorted(partition["partition_index"] for partition in description["partitions"])


def _check_name(topic: str) -> None:
    if not _TOPIC_NAME.fullmatch(topic):
        raise SettingsError(
            f"`{topic}` cannot be a topic's name: 1 to 249 letters, digits, dots, - and _."
        )
