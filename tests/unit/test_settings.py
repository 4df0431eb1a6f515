"""Settings: where they come from, what they refuse, and what they never show."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest

from worker.errors import SettingsError
from worker.settings import Settings, load_settings

SECRET = "hunter2-hunter2-hunter2"
URL = f"postgresql://me:{SECRET}@db:5432/posts"


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("WORKER_"):
            monkeypatch.delenv(name)


def test_the_defaults_of_the_contract() -> None:
    settings = load_settings()
    assert settings.topics == ("posts",)
    assert settings.group == "emotion-worker"
    assert settings.model == "builtin"
    assert settings.device == "auto"
    assert settings.auto_offset_reset == "earliest"
    assert settings.adopt_committed is False
    assert settings.allowed_lateness_seconds == 60
    assert settings.assignor == "cooperative-sticky"
    assert settings.store_text is False
    assert settings.retention_days is None
    assert settings.trend_retention_days is None
    assert settings.dead_letter_retention_days == 30
    assert settings.metrics_port == 9108
    assert settings.log_format == "auto"
    unset = (settings.batch_tokens, settings.batch_posts, settings.linger_ms)
    assert unset == (None, None, None)
    assert (settings.min_confidence, settings.languages, settings.author_key) == (None, None, None)


def test_flags_win_over_the_environment_and_that_over_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "worker.env"
    file.write_text("WORKER_GROUP=file\nWORKER_MODEL=file\nWORKER_DEVICE=cpu\nOTHER=1\n")
    monkeypatch.setenv("WORKER_GROUP", "environment")
    monkeypatch.setenv("WORKER_MODEL", "environment")

    settings = load_settings(file, group="flag", model=None)

    assert (settings.group, settings.model, settings.device) == ("flag", "environment", "cpu")


def test_a_missing_env_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=re.escape(str(tmp_path / "none.env"))):
        load_settings(tmp_path / "none.env")


def test_an_empty_variable_is_an_unset_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKER_LINGER_MS", "")
    monkeypatch.setenv("WORKER_DATABASE_URL", "")
    settings = load_settings()
    assert settings.linger_ms is None
    with pytest.raises(SettingsError, match="WORKER_DATABASE_URL is not set"):
        _ = settings.database


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("WORKER_TOPICS", " , "),
        ("WORKER_TOPICS", "posts,@retry"),
        ("WORKER_GROUP", "x" * 250),
        ("WORKER_DEVICE", "gpu"),
        ("WORKER_DEVICE", "cuda:x"),
        ("WORKER_BATCH_TOKENS", "0"),
        ("WORKER_BATCH_POSTS", "many"),
        ("WORKER_LINGER_MS", "-1"),
        ("WORKER_AUTO_OFFSET_RESET", "newest"),
        ("WORKER_ADOPT_COMMITTED", "perhaps"),
        ("WORKER_ALLOWED_LATENESS_SECONDS", "-0.1"),
        ("WORKER_ASSIGNOR", "sticky"),
        ("WORKER_AUTHOR_KEY", "short"),
        ("WORKER_MIN_CONFIDENCE", "1.5"),
        ("WORKER_MIN_CONFIDENCE", "nan"),
        ("WORKER_RETENTION_DAYS", "0"),
        ("WORKER_METRICS_PORT", "70000"),
        ("WORKER_LOG_FORMAT", "xml"),
        ("WORKER_KAFKA_SECURITY_PROTOCOL", "TLS"),
        ("WORKER_KAFKA_SESSION_TIMEOUT_MS", "10"),
    ],
)
def test_a_value_that_does_not_fit_names_its_setting(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as raised:
        load_settings()
    message = str(raised.value)
    assert message.startswith(f"{name}: ")
    assert "\n" not in message


def test_every_value_that_does_not_fit_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKER_DEVICE", "gpu")
    monkeypatch.setenv("WORKER_METRICS_PORT", "x")
    with pytest.raises(SettingsError) as raised:
        load_settings(batch_posts="y")
    for name in ("WORKER_DEVICE", "WORKER_METRICS_PORT", "WORKER_BATCH_POSTS"):
        assert name in str(raised.value)


@pytest.mark.parametrize(
    ("name", "missing"),
    [("kafka", "WORKER_KAFKA_BOOTSTRAP_SERVERS"), ("database", "WORKER_DATABASE_URL")],
)
def test_what_is_needed_and_not_set_says_what_to_do(name: str, missing: str) -> None:
    with pytest.raises(SettingsError, match=f"{missing} is not set") as raised:
        getattr(load_settings(), name)
    assert "emotion-worker services" in str(raised.value)


@pytest.mark.parametrize("name", ["database_url", "author_key", "kafka_sasl_password"])
def test_secrets_are_never_shown(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    secret = URL if name == "database_url" else SECRET
    monkeypatch.setenv(f"WORKER_{name.upper()}", secret)
    settings = load_settings()
    assert getattr(settings, name).get_secret_value() == secret
    for shown in (repr(settings), str(settings), str(settings.model_dump()), f"{settings!s}"):
        assert SECRET not in shown
    assert SECRET not in settings.model_dump_json()

    monkeypatch.setenv("WORKER_DEVICE", "gpu")
    with pytest.raises(SettingsError) as raised:
        load_settings()
    assert SECRET not in _everything(raised.value)


def test_a_secret_that_does_not_fit_is_not_shown_either(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKER_AUTHOR_KEY", "tooshort1")
    with pytest.raises(SettingsError, match="16 characters") as raised:
        load_settings()
    assert "tooshort1" not in _everything(raised.value)


def _everything(error: BaseException) -> str:
    """What a traceback would print."""
    shown = [repr(error), str(error)]
    if error.__cause__ is not None:
        shown.append(_everything(error.__cause__))
    if error.__context__ is not None and not error.__suppress_context__:
        shown.append(_everything(error.__context__))
    return " ".join(shown)


@pytest.mark.parametrize(
    ("given", "topics"),
    [("a", ("a",)), (" a, b ,", ("a", "b")), ("b,a,b", ("b", "a"))],
)
def test_topics_are_split_at_commas(
    monkeypatch: pytest.MonkeyPatch, given: str, topics: tuple[str, ...]
) -> None:
    monkeypatch.setenv("WORKER_TOPICS", given)
    assert load_settings().topics == topics
    monkeypatch.delenv("WORKER_TOPICS")
    assert load_settings(topics=given).topics == topics


def test_dead_letters_go_to_a_topic_that_is_not_read() -> None:
    assert load_settings(topics="a,b", dead_letter_topic="c").dead_letter_topic == "c"
    with pytest.raises(SettingsError, match=r"^WORKER_DEAD_LETTER_TOPIC: must not be one of"):
        load_settings(topics="a,b", dead_letter_topic="b")


def test_languages_are_split_at_commas() -> None:
    assert load_settings(languages="en, de").languages == ("en", "de")


def test_the_database_url_is_given_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKER_DATABASE_URL", URL)
    monkeypatch.setenv("WORKER_KAFKA_BOOTSTRAP_SERVERS", "a:1,b:2")
    assert load_settings().database == URL
    assert load_settings().kafka == "a:1,b:2"


def test_settings_do_not_change() -> None:
    settings: Any = load_settings()
    with pytest.raises(ValueError, match="frozen"):
        settings.group = "other"


def test_every_setting_can_be_given_by_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting has a name of its own beside WORKER_ and its field."""
    given = {
        "WORKER_KAFKA_CLIENT_ID": "me",
        "WORKER_KAFKA_GROUP_INSTANCE_ID": "me-0",
        "WORKER_KAFKA_CA_FILE": "/ca.pem",
        "WORKER_BATCH_TOKENS": "4096",
        "WORKER_STORE_TEXT": "true",
        "WORKER_LOG_FORMAT": "json",
    }
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    settings = load_settings()
    assert settings == Settings(
        kafka_client_id="me",
        kafka_group_instance_id="me-0",
        kafka_ca_file=Path("/ca.pem"),
        batch_tokens=4096,
        store_text=True,
        log_format="json",
    )
    assert settings.batch_tokens == 4096
    assert settings.kafka_ca_file == Path("/ca.pem")


SECRETS = [
    name for name, field in Settings.model_fields.items() if "SecretStr" in str(field.annotation)
]


def test_every_secret_can_be_given_as_a_file() -> None:
    assert len(SECRETS) == 4
    assert {f"{name}_file" for name in SECRETS} < set(Settings.model_fields)


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_in_a_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, end: str
) -> None:
    path = tmp_path / "secret"
    path.write_bytes(f" {SECRET} \u00e9{end}".encode())
    monkeypatch.setenv(f"WORKER_{name.upper()}_FILE", str(path))
    settings = load_settings()
    assert getattr(settings, name).get_secret_value() == f" {SECRET} \u00e9"
    for shown in (repr(settings), settings.model_dump_json(exclude_none=True)):
        assert SECRET not in shown


def test_a_secret_in_a_file_that_an_env_file_names(tmp_path: Path) -> None:
    (tmp_path / "url").write_text(URL + "\n")
    (tmp_path / "env").write_text(f"WORKER_DATABASE_URL_FILE={tmp_path / 'url'}\n")
    assert load_settings(tmp_path / "env").database == URL


@pytest.mark.parametrize("name", SECRETS)
@pytest.mark.parametrize("from_file", [True, False])
def test_a_secret_given_twice_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, from_file: bool
) -> None:
    (tmp_path / "secret").write_text(SECRET)
    name = f"WORKER_{name.upper()}"
    (tmp_path / "env").write_text(f"{name}={SECRET}\n")
    if not from_file:
        monkeypatch.setenv(name, SECRET)
    monkeypatch.setenv(f"{name}_FILE", str(tmp_path / "secret"))
    with pytest.raises(SettingsError) as raised:
        load_settings(tmp_path / "env" if from_file else None)
    assert str(raised.value) == f"{name}: {name}_FILE is set too: leave one of the two out"
    assert SECRET not in _everything(raised.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot be read: No such file"),
        (b"", "is empty"),
        (b"\r\n\n", "is empty"),
        (b"\xff" + SECRET.encode(), "is not UTF-8"),
        (SECRET.encode() * 4_096, "has over 64 KiB"),
    ],
)
@pytest.mark.parametrize("name", SECRETS)
def test_a_file_without_a_secret_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, content: bytes | None, said: str
) -> None:
    path = tmp_path / "secret"
    if content is not None:
        path.write_bytes(content)
    monkeypatch.setenv(f"WORKER_{name.upper()}_FILE", str(path))
    with pytest.raises(SettingsError, match=said) as raised:
        load_settings()
    assert raised.value.exit_code == 2
    assert f"WORKER_{name.upper()}_FILE: {path}" in str(raised.value)
    assert SECRET not in _everything(raised.value)


def test_a_folder_is_no_secret(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("WORKER_AUTHOR_KEY_FILE", str(tmp_path))
    with pytest.raises(SettingsError, match=r"WORKER_AUTHOR_KEY_FILE: .* cannot be read: Is a dir"):
        load_settings()


def test_what_a_file_holds_is_checked_as_any_other(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "key").write_text("tooshort1")
    monkeypatch.setenv("WORKER_AUTHOR_KEY_FILE", str(tmp_path / "key"))
    with pytest.raises(SettingsError, match=r"^WORKER_AUTHOR_KEY: .*16 characters") as raised:
        load_settings()
    assert "tooshort1" not in _everything(raised.value)


@pytest.mark.parametrize(
    ("given", "formats"),
    [
        ("a=bluesky", (("a", "bluesky"),)),
        (" a = bluesky , b=post,", (("a", "bluesky"), ("b", "post"))),
        ("a=bluesky,a=bluesky", (("a", "bluesky"),)),
        (",", None),
        ("", None),
    ],
)
def test_formats_by_topic(
    monkeypatch: pytest.MonkeyPatch, given: str, formats: tuple[tuple[str, str], ...] | None
) -> None:
    monkeypatch.setenv("WORKER_FORMATS", given)
    assert load_settings(topics="a,b").formats == formats


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("a", "`a` is not topic=format, as firehose=bluesky"),
        ("a=", "`a=` is not topic=format"),
        ("=bluesky", "`=bluesky` is not topic=format"),
        ("a=Bluesky", "there is no format `Bluesky`, only post, bluesky"),
        ("c=bluesky", "`c` is none of WORKER_TOPICS (a, b)"),
        ("a=bluesky,a=post", "`a` is given two formats, bluesky and post"),
    ],
)
def test_formats_that_do_not_fit(monkeypatch: pytest.MonkeyPatch, given: str, said: str) -> None:
    monkeypatch.setenv("WORKER_FORMATS", given)
    with pytest.raises(SettingsError) as raised:
        load_settings(topics="a,b")
    assert str(raised.value).startswith("WORKER_FORMATS: ")
    assert said in str(raised.value)
    assert raised.value.exit_code == 2


def test_of_topics_that_do_not_fit_only_they_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKER_FORMATS", "a=bluesky")
    with pytest.raises(SettingsError) as raised:
        load_settings(topics=",")
    assert str(raised.value) == "WORKER_TOPICS: name at least one topic"
