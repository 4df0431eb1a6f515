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
    """Brokers, `host:port`, comma-separated. `run`, `publish` and `check` need them."""
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    """`PLAINTEXT`, `SSL`, `SASL_PLAINTEXT` or `SASL_SSL`."""
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = None
    """`PLAIN`, `SCRAM-SHA-256` or `SCRAM-SHA-512`. The SASL protocols need it."""
    kafka_sasl_user: str | None = None
    """The SASL protocols need it."""
    kafka_sasl_password_file: Path | None = None
    """A file that holds the password."""
    kafka_sasl_password: SecretStr | None = Field(default=None, validate_default=True)
    """The SASL protocols need it. Secret."""
    kafka_ca_file: Path | None = None
    """Certificates to trust, PEM; unset: the system's. For `SSL` and `SASL_SSL`."""
    kafka_cert_file: Path | None = None
    """Client certificate, PEM; goes with the key file."""
    kafka_key_file: Path | None = None
    """The client certificate's key, PEM."""
    kafka_key_password_file: Path | None = None
    """A file that holds the key's password."""
    kafka_key_password: SecretStr | None = Field(default=None, validate_default=True)
    """Of the key file, if it is encrypted. Secret."""
    kafka_client_id: str = "emotion-worker"
    """The name that the broker's logs and quotas see."""
    kafka_group_instance_id: str | None = None
    """Static membership (KIP-345): a restart within the session timeout moves no partition. Each
    worker needs its own."""
    kafka_session_timeout_ms: int = Field(default=45_000, ge=1_000, le=1_800_000)
    """After so long without a heartbeat, the broker gives a worker's partitions to others. The
    embedded broker lets a group's first member wait for half of this: 6000 suits it."""

    topics: Annotated[tuple[str, ...], NoDecode] = ("posts",)
    """What to read, comma-separated."""
    formats: Annotated[tuple[tuple[str, str], ...] | None, NoDecode] = None
    """`topic=format`, comma-separated: what the records of a topic look like, `post` or `bluesky`.
    Topics that it does not name hold our own posts; those that it names must be among
    `WORKER_TOPICS`."""
    group: str = Field(default="emotion-worker", min_length=1, max_length=249)
    """The consumer group; positions and the ledger are kept by group."""
    database_url_file: Path | None = None
    """A file that holds the URL."""
    database_url: SecretStr | None = Field(default=None, validate_default=True)
    """`postgresql://user:password@host:port/database`; options of libpq, such as those for TLS, go
    after a `?`. All that reads or writes tables needs it. Secret. Postgres 16 or newer, encoding
    UTF8, and not through a pooler in transaction mode."""

    model: str = "builtin"
    """`builtin`, a bundle's folder, or a hub id. `stub`, for drills, labels by a hash of the text,
    without a model; `stub:5` takes 5 ms a post."""
    device: str = Field(default="auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$")
    """`auto` (the first GPU, else the CPU), `cpu`, `cuda` or `cuda:N`."""
    batch_tokens: int | None = Field(default=None, ge=1)
    """Budget of a micro-batch in estimated tokens: 8192 on a CPU, 32768 on a GPU."""
    batch_posts: int | None = Field(default=None, ge=1, le=100_000)
    """Budget of a micro-batch in records, up to 100000: 256 on a CPU, 1024 on a GPU."""
    linger_ms: int | None = Field(default=None, ge=0, le=60_000)
    """How long a micro-batch waits to be filled, up to 60000: 200 on a CPU, 50 on a GPU."""

    auto_offset_reset: Literal["earliest", "latest", "fail"] = "earliest"
    """Where a group without a stored position begins, and one whose position has left the log goes
    on: `earliest`, `latest`, or `fail`."""
    adopt_committed: bool = False
    """Begin where the group's Kafka commit stands instead: for moving over from another consumer.
    Asked only where there is no stored position."""
    allowed_lateness_seconds: float = Field(default=60.0, ge=0, le=86_400)
    """How far watermarks stay behind the posts that were read: some come a little out of order."""
    assignor: Literal["cooperative-sticky", "range"] = "cooperative-sticky"
    """How partitions are shared out: `cooperative-sticky` or `range`. One for a whole group."""

    store_text: bool = False
    """Keep each post's text beside its label."""
    author_key_file: Path | None = None
    """A file that holds the key."""
    author_key: SecretStr | None = Field(default=None, validate_default=True)
    """At least 16 characters. Authors are stored only as a hash keyed with it (HMAC), and not at
    all without it. Secret."""
    min_confidence: float | None = Field(default=None, ge=0, le=1)
    """0 to 1: posts below this confidence are `uncertain`."""
    languages: Annotated[tuple[str, ...] | None, NoDecode] = None
    """Comma-separated: posts marked as another language are kept `unlabelled`."""

    breaker_share: float = Field(default=0.95, ge=0, le=1)
    """0 to 1: where this share of a topic's latest 1,000 records (200 at least) are no posts, the
    worker ends with exit code 1 before anything of them is stored. 0: never."""
    dead_letter_topic: str | None = None
    """A topic that each dead letter is also sent to, once it is stored, best effort; it must exist,
    and not be one of `WORKER_TOPICS`. A letter has the record's own key and value, and the headers
    `reason`, `detail`, `fingerprint`, `topic`, `partition` and `offset`."""
    stall_seconds: float = Field(default=60.0, ge=1, le=3_600)
    """A stage, or a partition with records left to read, that does not move for so long counts as
    stalled. Below 20, an unreachable database that does not even refuse connections may look like a
    stalled store stage."""

    maintain_seconds: float = Field(default=600.0, ge=0, le=86_400)
    """How often a worker does `maintain` by itself, one of all the workers at a time; 0: never."""
    retention_days: int | None = Field(default=None, ge=1, le=36_500)
    """How long labels are kept, in whole days (UTC); unset keeps them. The trends of what was
    dropped stay. What comes later of that time is `expired`, for good: a longer retention does not
    bring the floor down."""
    trend_retention_days: int | None = Field(default=None, ge=1, le=36_500)
    """How long minute cells are kept; hours and days stay."""
    dead_letter_retention_days: int | None = Field(default=30, ge=1, le=36_500)
    """How long dead letters are kept, whatever their state."""

    metrics_port: int = Field(default=9108, ge=0, le=65_535)
    """For `/metrics`, `/livez` and `/readyz` of `run`, on all addresses. 0 turns them off. Where
    the default is taken, as by a second worker, they are off with a warning; a port that is set and
    taken is an error."""
    log_format: Literal["auto", "console", "json"] = "auto"
    """`console`, `json` (one object a line, on stderr), or `auto`: by whether stderr is a
    terminal."""

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
