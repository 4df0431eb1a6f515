"""docker-compose.yml: valid by the Compose specification's schema, and true to the code it runs."""

from __future__ import annotations

import base64
import os
import re
import stat
import subprocess
import sys
import tomllib
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.deploy.commands import check_arguments, is_setting
from worker.commands.stopping import END_S
from worker.settings import given_settings

ROOT = Path(__file__).parents[3]
FILE = ROOT / "docker-compose.yml"
VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")
SECRETS_SCRIPT = ROOT / "deploy" / "docker" / "make-secrets.sh"

Service = dict[str, Any]

TEXT = FILE.read_text(encoding="utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, Service] = COMPOSE["services"]
ONE_SHOTS = {name for name, service in SERVICES.items() if service.get("restart") == "no"}
OURS = {name for name, service in SERVICES.items() if "build" in service}


def _filled(value: str) -> str:
    """With its variables' defaults."""
    return VARIABLE.sub(lambda found: found[2] or "", value)


def _seconds(duration: str) -> float:
    return float(duration.removesuffix("s"))


def _shell(service: Service, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs a service's script as its container would."""
    script = service["command"][0].replace("$$", "$")
    return subprocess.run(
        [*service["entrypoint"], script],
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )


# Form


def test_it_fits_the_compose_specification() -> None:
    checked = subprocess.run(
        [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", FILE],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout


def test_a_wrong_field_would_be_seen(tmp_path: Path) -> None:
    wrong = tmp_path / "docker-compose.yml"
    wrong.write_text(TEXT.replace("healthcheck:", "healthchek:", 1), encoding="utf-8")
    checked = subprocess.run(
        [
            *(sys.executable, "-m", "check_jsonschema"),
            *("--builtin-schema", "vendor.compose-spec", wrong),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 1
    assert "healthchek" in checked.stdout


def test_each_variable_has_the_default_that_the_example_shows() -> None:
    example = dict(
        line.split("=", 1)
        for line in (ROOT / ".env.example").read_text(encoding="utf-8").splitlines()
        if line and not line.startswith("#")
    )
    assert example.pop("COMPOSE_PROFILES") == ""  # Compose's own
    assert set(VARIABLE.findall(TEXT)) == set(example.items())


def test_what_is_mounted_is_there() -> None:
    for service in SERVICES.values():
        for volume in service.get("volumes", ()):
            source = _filled(volume).partition(":")[0]
            if source.startswith("./deploy/"):
                assert (ROOT / source).exists(), source
            elif not source.startswith("./"):
                assert source in COMPOSE["volumes"], source


# Order


def test_who_waits_for_whom_can_be_satisfied() -> None:
    for name, service in SERVICES.items():
        for needed, how in service.get("depends_on", {}).items():
            if how["condition"] == "service_healthy":
                assert "test" in SERVICES[needed]["healthcheck"], f"{name} -> {needed}"
            else:
                assert how["condition"] == "service_completed_successfully"
                assert needed in ONE_SHOTS, f"{name} -> {needed}"
            profiles = set(SERVICES[needed].get("profiles", ()))
            assert profiles <= set(service.get("profiles", ())), f"{name} -> {needed}"


def test_each_one_shot_is_waited_for() -> None:
    """`up --wait` takes the end of one that nobody waits for as a failure."""
    waited_for = {
        needed
        for service in SERVICES.values()
        for needed, how in service.get("depends_on", {}).items()
        if how["condition"] == "service_completed_successfully"
    }
    assert waited_for == {"topic-init", "roles", "migrate", "rights", "gpu-alone"}
    assert waited_for == ONE_SHOTS - {"trainer", "trainer-gpu"}


def test_tables_are_there_before_workers() -> None:
    """Roles, the schema, the roles' rights to it, workers: each waits for the one before."""
    chain = ["postgres", "roles", "migrate", "rights", "worker"]
    for before, after in pairwise(chain):
        assert before in SERVICES[after]["depends_on"]
    assert set(SERVICES["worker"]["depends_on"]) <= set(SERVICES["worker-gpu"]["depends_on"])


def test_profiles_are_those_that_are_documented() -> None:
    profiles = {profile for service in SERVICES.values() for profile in service.get("profiles", ())}
    assert profiles == {"gpu", "train", "train-gpu", "monitoring"}
    page = (ROOT / "docs" / "how-to" / "deploy.md").read_text(encoding="utf-8")
    assert all(f"`{profile}`" in page for profile in profiles)
    assert "profiles" not in SERVICES["worker"]


@pytest.mark.parametrize(
    ("cpu_workers", "mixed", "code"), [("0", "no", 0), ("1", "no", 2), ("2", "yes", 0)]
)
def test_gpu_workers_do_not_start_beside_cpu_workers_by_accident(
    cpu_workers: str, mixed: str, code: int
) -> None:
    gate = SERVICES["gpu-alone"]
    done = _shell(gate, CPU_WORKERS=cpu_workers, MIXED=mixed)
    assert done.returncode == code
    assert ("CPU_WORKERS=0" in done.stderr) == bool(code)
    assert "gpu-alone" in SERVICES["worker-gpu"]["depends_on"]
    assert _filled(gate["environment"]["CPU_WORKERS"]) == _filled(
        SERVICES["worker"]["deploy"]["replicas"]
    )


# What runs


@pytest.mark.parametrize("name", sorted(OURS - {"gpu-alone", "maintain"}))
def test_each_container_runs_a_command_that_there_is(name: str) -> None:
    package = "trainer" if name.startswith("trainer") else "worker"
    check_arguments([_filled(part) for part in SERVICES[name]["command"]], package)


def test_maintain_runs_a_command_that_there_is() -> None:
    (script,) = SERVICES["maintain"]["command"]
    command = re.search(r"emotion-worker ([a-z-]+)", script)
    assert command is not None
    check_arguments([command[1]])


@pytest.mark.parametrize("name", sorted(OURS))
def test_each_variable_is_a_setting(name: str) -> None:
    service = SERVICES[name]
    values = {}
    for variable, value in service.get("environment", {}).items():
        if variable.startswith("WORKER_"):
            assert is_setting(variable), variable
            values[variable.removeprefix("WORKER_").lower()] = _filled(value)
    file = values.pop("database_url_file", None)
    given_settings(**values)
    if file is not None:
        assert Path(file).name in service["secrets"]


def test_torch_takes_no_more_threads_than_it_has_cores() -> None:
    worker = SERVICES["worker"]
    limit = worker["deploy"]["resources"]["limits"]["cpus"]
    assert worker["environment"]["OMP_NUM_THREADS"] == limit


def test_a_stop_has_time_to_finish() -> None:
    for name in ("worker", "worker-gpu"):
        assert _seconds(SERVICES[name]["stop_grace_period"]) >= END_S + 5


def test_images_are_pinned_and_ours_are_of_this_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for name, service in SERVICES.items():
        image = _filled(service["image"])
        assert re.search(r":v?\d+\.\d+", image), image
        if name in OURS:
            torch = service["build"].get("args", {}).get("TORCH", "cpu")
            kind = service["build"]["target"]
            assert image == f"emotion-{kind}:{project['version']}-{torch}"


def test_a_topic_is_made_of_each_name(tmp_path: Path) -> None:
    topic_init = SERVICES["topic-init"]
    assert _filled(topic_init["environment"]["TOPICS"]) == ",".join(given_settings().topics)
    stub = tmp_path / "kafka-topics.sh"
    stub.write_text('#!/bin/sh\necho "$@"\n', encoding="utf-8")
    stub.chmod(0o755)
    tool = "/opt/kafka/bin/kafka-topics.sh"
    (script,) = topic_init["command"]
    done = _shell(
        {**topic_init, "command": [script.replace(tool, str(stub))]}, TOPICS="a,b", PARTITIONS="3"
    )
    assert done.returncode == 0, done.stderr
    for line, topic in zip(done.stdout.splitlines(), ("a", "b"), strict=True):
        assert f"--create --if-not-exists --topic {topic} --partitions 3" in line


# The broker


def _listeners(name: str) -> dict[str, str]:
    value = _filled(SERVICES["kafka"]["environment"][name])
    separator = "://" if "://" in value else ":"
    return dict(part.split(separator, 1) for part in value.split(","))


def test_listeners_agree() -> None:
    environment = SERVICES["kafka"]["environment"]
    open_at = _listeners("KAFKA_LISTENERS")
    advertised = _listeners("KAFKA_ADVERTISED_LISTENERS")
    controller = environment["KAFKA_CONTROLLER_LISTENER_NAMES"]
    assert set(open_at) == set(_listeners("KAFKA_LISTENER_SECURITY_PROTOCOL_MAP"))
    assert set(advertised) == set(open_at) - {controller}
    assert environment["KAFKA_INTER_BROKER_LISTENER_NAME"] in advertised
    voter, _, address = environment["KAFKA_CONTROLLER_QUORUM_VOTERS"].partition("@")
    assert voter == environment["KAFKA_NODE_ID"]
    assert address == f"kafka{open_at[controller]}"
    # What containers are told is what they are answered.
    inside = SERVICES["worker"]["environment"]["WORKER_KAFKA_BOOTSTRAP_SERVERS"]
    assert advertised["INTERNAL"] == inside == f"kafka{open_at['INTERNAL']}"
    (port,) = SERVICES["kafka"]["ports"]
    host, outside, container = _filled(port).split(":")
    assert (host, f":{container}") == ("127.0.0.1", open_at["HOST"])
    assert advertised["HOST"] == f"localhost:{outside}"


def test_the_broker_is_one_node_that_keeps_its_data() -> None:
    environment = SERVICES["kafka"]["environment"]
    assert set(environment["KAFKA_PROCESS_ROLES"].split(",")) == {"broker", "controller"}
    replicas = {key: value for key, value in environment.items() if "REPLICATION_FACTOR" in key}
    assert len(replicas) == 3
    assert set(replicas.values()) == {"1"}
    assert f"kafka-data:{environment['KAFKA_LOG_DIRS']}" in SERVICES["kafka"]["volumes"]
    assert len(base64.urlsafe_b64decode(_filled(environment["CLUSTER_ID"]) + "==")) == 16


# Safety


@pytest.mark.parametrize("name", SERVICES)
def test_each_service_is_limited(name: str) -> None:
    limits = SERVICES[name]["deploy"]["resources"]["limits"]
    assert {"cpus", "memory", "pids"} <= set(limits)


@pytest.mark.parametrize("name", SERVICES)
def test_each_service_restarts_as_it_should(name: str) -> None:
    assert SERVICES[name]["restart"] in {"no", "unless-stopped"}


@pytest.mark.parametrize("name", sorted(OURS))
def test_ours_write_nowhere_and_may_nothing(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["tmpfs"] == ["/tmp"]
    assert service["cap_drop"] == ["ALL"]
    assert "privileged" not in service


def test_ports_are_open_to_this_machine_alone() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", ())]
    assert len(ports) == 4
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_no_secret_is_in_the_file() -> None:
    for service in SERVICES.values():
        for variable, value in service.get("environment", {}).items():
            if re.search(r"PASSWORD|SECRET|TOKEN|DATABASE_URL|_KEY", variable):
                assert variable.endswith("_FILE"), variable
                assert value.removeprefix("/run/secrets/") in service["secrets"]
    for name, secret in COMPOSE["secrets"].items():
        assert secret == {"file": f"./secrets/{name}"}
    ignored = subprocess.run(
        ["git", "check-ignore", "secrets/postgres_password", ".env", "worker.env"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if ignored.returncode != 128:  # no repository, as in an unpacked archive
        assert len(ignored.stdout.split()) == 3


def test_only_the_roles_know_the_superusers_password() -> None:
    knowing = {name for name, s in SERVICES.items() if "postgres_password" in s.get("secrets", ())}
    assert knowing == {"postgres", "roles", "rights"}


# Secrets


def _make_secrets(folder: Path) -> dict[str, str]:
    subprocess.run([str(SECRETS_SCRIPT), str(folder)], check=True, capture_output=True)
    return {file.name: file.read_text() for file in folder.iterdir()}


def test_each_secret_is_made_once(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    made = _make_secrets(folder)
    assert set(made) == set(COMPOSE["secrets"])
    for login in ("keeper", "worker"):
        password = made[f"{login}_password"]
        url = f"postgresql://emotion_{login}:{password}@postgres:5432/emotion"
        assert made[f"{login}_database_url"] == url
    passwords = [value for name, value in made.items() if name.endswith("_password")]
    assert len(set(passwords)) == len(passwords) == 5
    assert all(re.fullmatch(r"[0-9a-f]{48}", password) for password in passwords)
    assert _make_secrets(folder) == made


def test_secrets_are_kept_from_others_but_not_from_containers(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    _make_secrets(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()} == {0o444}
