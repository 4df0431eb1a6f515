"""The tables of settings: names and defaults of the fields, and their docstrings."""

from __future__ import annotations

import ast
import inspect
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from docs.generate.markdown import table
from worker import settings
from worker.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_SECTIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "kafka": (
        "kafka_bootstrap_servers",
        "kafka_security_protocol",
        "kafka_sasl_mechanism",
        "kafka_sasl_user",
        "kafka_sasl_password",
        "kafka_sasl_password_file",
        "kafka_ca_file",
        "kafka_cert_file",
        "kafka_key_file",
        "kafka_key_password",
        "kafka_key_password_file",
        "kafka_client_id",
        "kafka_group_instance_id",
        "kafka_session_timeout_ms",
        "topics",
        "formats",
        "group",
        "auto_offset_reset",
        "adopt_committed",
        "assignor",
        "breaker_share",
        "dead_letter_topic",
        "allowed_lateness_seconds",
    ),
    "postgres": (
        "database_url",
        "database_url_file",
        "store_text",
        "author_key",
        "author_key_file",
        "retention_days",
        "trend_retention_days",
        "dead_letter_retention_days",
        "maintain_seconds",
    ),
    "model": (
        "model",
        "device",
        "min_confidence",
        "languages",
        "batch_tokens",
        "batch_posts",
        "linger_ms",
    ),
    "process": ("log_format", "metrics_port", "stall_seconds"),
}
_UNSET: Final = {
    "min_confidence": "from the bundle",
    "languages": "from the bundle",
    "batch_tokens": "by device",
    "batch_posts": "by device",
    "linger_ms": "by device",
}
"""What goes for a setting that is not set, where that is not nothing."""
_MORE: Final = {
    "formats": "[Formats](formats.md)",
    "breaker_share": "[The wrong topic](../explanation/delivery.md#the-wrong-topic)",
    "allowed_lateness_seconds": "[Time](../explanation/time.md)",
    "database_url": "[TLS](../how-to/secure.md#postgres-over-tls)",
    "author_key": "[Forget someone](../how-to/forget.md)",
    "maintain_seconds": "[`maintain`](cli.md#emotion-worker-maintain)",
    "min_confidence": "[The model](../explanation/model.md)",
    "languages": "[The model](../explanation/model.md#languages)",
    "batch_tokens": "[Micro-batching](../explanation/micro-batching.md)",
    "metrics_port": "[Metrics and health](metrics.md)",
    "stall_seconds": "[Live and ready](metrics.md#live-and-ready)",
}
"""The page that has more; a docstring links nowhere."""


def _docstrings() -> dict[str, str]:
    """The docstrings under the fields, each on one line."""
    (class_,) = (
        node
        for node in ast.parse(inspect.getsource(settings)).body
        if isinstance(node, ast.ClassDef) and node.name == Settings.__name__
    )
    found = {}
    for field, after in zip(class_.body, class_.body[1:], strict=False):
        match field, after:
            case (
                ast.AnnAssign(target=ast.Name(id=name)),
                ast.Expr(value=ast.Constant(value=str(words))),
            ):
                found[name] = " ".join(words.split())
    return found


def _default(name: str) -> str:
    value: Any = Settings.model_fields[name].default
    match value:
        case None:
            return _UNSET.get(name, "unset")
        case bool():
            return f"`{str(value).lower()}`"
        case tuple():
            return f"`{','.join(value)}`"
        case float():
            return f"`{value:g}`"
        case _:
            return f"`{value}`"


def _table(section: str) -> str:
    words = _docstrings()
    return table(
        ("setting", "default", ""),
        [
            (
                f"`WORKER_{name.upper()}`",
                _default(name),
                f"{words[name]} {_MORE.get(name, '')}".rstrip(),
            )
            for name in _SECTIONS[section]
        ],
    )


def listed() -> list[str]:
    """The settings that the tables have, in their order."""
    return [name for names in _SECTIONS.values() for name in names]


TABLES: Final[Mapping[str, Callable[[], str]]] = {
    section: partial(_table, section) for section in _SECTIONS
}
"""By section."""
