"""Every setting, from the environment (`WORKER_...`), an env file or a flag of the same name."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - pydantic reads it at run time
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from worker.errors import SettingsError
from worker.posts.formats import FORMATS

if TYPE_CHECKING:
    from collections.abc import Callable

_PREFIX = "WORKER_"
_MAX_SECRET_BYTES = 64 * 1024


class Settings(BaseSettings):
    """The worker's settings. Secrets are `SecretStr`: they never show in logs or errors."""

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX, env_ignore_empty=True, extra="ignore", frozen=True
    )

    kafka_bootstrap_servers: str | None = None
    """Brokers, `host:port`, comma-separated. Required for whatever touches Kafka."""
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = None
    kafka_sasl_user: str | None = None
    kafka_sasl_password_file: Path | None = None
    """A file that holds the password; so with each secret and its `..._file`."""
    kafka_sasl_password: SecretStr | None = Field(default=None, validate_default=True)
    kafka_ca_file: Path | None = None
    kafka_cert_file: Path | None = None
    kafka_key_file: Path | None = None
    kafka_key_password_file: Path | None = None
    kafka_key_password: SecretStr | None = Field(default=None, validate_default=True)
    kafka_client_id: str = "emotion-worker"
    kafka_group_instance_id: str | None = None
    """Static membership (KIP-345): a restart within the session timeout moves no partition."""
    kafka_session_timeout_ms: int = Field(default=45_000, ge=1_000, le=1_800_000)

    topics: Annotated[tuple[str, ...], NoDecode] = ("posts",)
    """Comma-separated."""
    formats: Annotated[tuple[tuple[str, str], ...] | None, NoDecode] = None
    """`topic=format`, comma-separated; other topics hold our own posts."""
    group: str = Field(default="emotion-worker", min_length=1, max_length=249)
    database_url_file: Path | None = None
    database_url: SecretStr | None = Field(default=None, validate_default=True)
    """`postgresql://user:password@host:port/database`. Required for whatever touches Postgres."""

    model: str = "builtin"
    """`builtin`, a bundle folder, or a hub id."""
    device: str = Field(default="auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$")
    batch_tokens: int | None = Field(default=None, ge=1)
    batch_posts: int | None = Field(default=None, ge=1, le=100_000)
    linger_ms: int | None = Field(default=None, ge=0, le=60_000)

    auto_offset_reset: Literal["earliest", "latest", "fail"] = "earliest"
    """Where a group without a stored position begins."""
    adopt_committed: bool = False
    """Begin at the group's Kafka commit instead: moving over from another consumer."""
    allowed_lateness_seconds: float = Field(default=60.0, ge=0, le=86_400)
    assignor: Literal["cooperative-sticky", "range"] = "cooperative-sticky"

    store_text: bool = False
    author_key_file: Path | None = None
    author_key: SecretStr | None = Field(default=None, validate_default=True)
    """HMAC key: authors are stored only as a keyed hash, and not at all without a key."""
    min_confidence: float | None = Field(default=None, ge=0, le=1)
    languages: Annotated[tuple[str, ...] | None, NoDecode] = None
    """Comma-separated; None: those of the bundle."""

    breaker_share: float = Field(default=0.95, ge=0, le=1)
    """The worker stops where this share of a topic's latest records is rejected; 0: never."""
    dead_letter_topic: str | None = None
    """Where dead letters are also sent, best effort; the table is what counts."""
    stall_seconds: float = Field(default=60.0, ge=1, le=3_600)
    """A stage or a partition that makes no progress for so long counts as stalled."""

    maintain_seconds: float = Field(default=600.0, ge=0, le=86_400)
    """How often a worker sees to days ahead, retention and closed cells; 0: never."""
    retention_days: int | None = Field(default=None, ge=1, le=36_500)
    trend_retention_days: int | None = Field(default=None, ge=1, le=36_500)
    dead_letter_retention_days: int | None = Field(default=30, ge=1, le=36_500)

    metrics_port: int = Field(default=9108, ge=0, le=65_535)
    log_format: Literal["auto", "console", "json"] = "auto"

    @field_validator("topics", "languages", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("topics")
    @classmethod
    def _some_topic(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value:
            raise ValueError("name at least one topic")
        if any(topic.startswith("@") for topic in value):
            raise ValueError("a topic's name cannot start with @")
        return tuple(dict.fromkeys(value))

    @field_validator("formats", mode="before")
    @classmethod
    def _pairs(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        pairs = []
        for part in (part.strip() for part in value.split(",")):
            topic, equals, name = (piece.strip() for piece in part.partition("="))
            if equals and topic and name:
                pairs.append((topic, name))
            elif part:
                raise ValueError(f"`{part}` is not topic=format, as firehose=bluesky")
        return tuple(pairs)

    @field_validator("formats")
    @classmethod
    def _known_formats(
        cls, value: tuple[tuple[str, str], ...] | None, info: ValidationInfo
    ) -> tuple[tuple[str, str], ...] | None:
        seen: dict[str, str] = {}
        for topic, name in value or ():
            if name not in FORMATS:
                raise ValueError(f"there is no format `{name}`, only {', '.join(FORMATS)}")
            # Where the topics themselves do not fit, that is what is said.
            if "topics" in info.data and topic not in info.data["topics"]:
                raise ValueError(
                    f"`{topic}` is none of WORKER_TOPICS ({', '.join(info.data['topics'])})"
                )
            if seen.setdefault(topic, name) != name:
                raise ValueError(f"`{topic}` is given two formats, {seen[topic]} and {name}")
        return tuple(seen.items()) or None

    @field_validator(
        "kafka_sasl_password", "kafka_key_password", "database_url", "author_key", mode="before"
    )
    @classmethod
    def _secret(cls, value: object, info: ValidationInfo) -> object:
        """A secret from its file, if it is given as one."""
        path = info.data.get(f"{info.field_name}_file")
        if path is None:
            return value
        name = f"{_PREFIX}{info.field_name}_file".upper()
        if value is not None:
            raise ValueError(f"{name} is set too: leave one of the two out")
        return _secret_in(path, name)

    @field_validator("dead_letter_topic")
    @classmethod
    def _another_topic(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value in info.data.get("topics", ()):
            raise ValueError(
                "must not be one of WORKER_TOPICS: each dead letter would make another"
            )
        return value

    @field_validator("author_key")
    @classmethod
    def _long_key(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and len(value.get_secret_value()) < 16:
            raise ValueError("must have at least 16 characters")
        return value

    @property
    def kafka(self) -> str:
        """The brokers.

        Raises:
            SettingsError: They are not set.
        """
        if self.kafka_bootstrap_servers is None:
            raise _missing("WORKER_KAFKA_BOOTSTRAP_SERVERS", "host:port of a Kafka broker")
        return self.kafka_bootstrap_servers

    @property
    def database(self) -> str:
        """The database's URL, secret included: for connecting, never for printing.

        Raises:
            SettingsError: It is not set.
        """
        if self.database_url is None:
            raise _missing("WORKER_DATABASE_URL", "postgresql://user:password@host:port/database")
        return self.database_url.get_secret_value()

    @property
    def author_secret(self) -> str | None:
        """The key of the author hashes, if there is one: for hashing, never for printing."""
        return None if self.author_key is None else self.author_key.get_secret_value()


def _secret_in(path: Path, name: str) -> str:
    """What a file of one secret holds, without the line's end after it; `name` is its setting's.

    Raises:
        ValueError: It cannot be read, or holds nothing. The message never has what it holds.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(_MAX_SECRET_BYTES + 1)
    except OSError as error:
        raise ValueError(f"{name}: {path} cannot be read: {error.strerror}") from None
    if len(raw) > _MAX_SECRET_BYTES:
        raise ValueError(f"{name}: {path} has over 64 KiB: is it the right file?")
    try:
        secret = raw.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise ValueError(f"{name}: {path} is not UTF-8") from None
    if not secret:
        raise ValueError(f"{name}: {path} is empty")
    return secret


def _missing(name: str, form: str) -> SettingsError:
    return SettingsError(
        f"{name} is not set. Set it ({form}), or start a local broker and Postgres with "
        "`emotion-worker services` and use what it prints."
    )


class _GivenSettings(Settings):
    """Settings that nothing but what is given goes into."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - the signature is pydantic's
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings,)


def given_settings(**values: Any) -> Settings:  # noqa: ANN401
    """Settings for services of our own: what the environment says is about others.

    Raises:
        SettingsError: A value does not fit.
    """
    return _read(_GivenSettings, values)


def load_settings(env_file: Path | None = None, **flags: Any) -> Settings:  # noqa: ANN401
    """Reads the settings: flags (those that are not None) over the environment over `env_file`.

    Raises:
        SettingsError: A value does not fit; every such setting is named, secrets are not shown.
    """
    if env_file is not None and not env_file.is_file():
        raise SettingsError(f"--env-file {env_file}: there is no such file.")
    if env_file is not None:
        try:
            env_file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"--env-file {env_file}: cannot be read: {error}.") from None
    return _read(Settings, {**flags, "_env_file": env_file})


def _read(make: Callable[..., Settings], flags: dict[str, Any]) -> Settings:
    try:
        return make(**{name: value for name, value in flags.items() if value is not None})
    except ValidationError as error:
        lines = [
            f"{_PREFIX}{'_'.join(str(part) for part in item['loc'][:1]).upper()}: "
            + item["msg"].removeprefix("Value error, ")
            for item in error.errors(include_input=False, include_url=False)
        ]
        raise SettingsError("; ".join(lines)) from None
