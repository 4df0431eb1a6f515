"""The Dockerfile: its steps name what is there, and its images run as they are deployed."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import pytest
import yaml
from dockerfile_parse import DockerfileParser

from tests.fakes.clock import ManualClock
from worker.health import Health
from worker.metrics import Metrics
from worker.serving import Serving

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "deploy" / "docker"
FILE = FOLDER / "Dockerfile"
HEALTHCHECK = FOLDER / "healthcheck.py"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

Step = tuple[str, str]


def _stages() -> dict[str, list[Step]]:
    """The stages' steps by their names; what precedes the first is under the empty name."""
    stages: dict[str, list[Step]] = {"": []}
    current = ""
    for part in DockerfileParser(str(FILE)).structure:
        if part["instruction"] == "COMMENT":
            continue
        if part["instruction"] == "FROM":
            current = part["value"].split()[-1]
            stages[current] = []
        stages[current].append((part["instruction"], part["value"]))
    return stages


STAGES = _stages()


def _lineage(stage: str, torch: str = "cpu") -> Iterator[Step]:
    """The steps of a stage and of those it is made from, the last one first."""
    while stage in STAGES:
        steps = STAGES[stage]
        yield from reversed(steps)
        stage = steps[0][1].split()[0].replace("${TORCH}", torch)


def _last(stage: str, instruction: str) -> str:
    return next(value for name, value in _lineage(stage) if name == instruction)


def _environment(stage: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in _lineage(stage):
        if name == "ENV":
            found = dict(part.split("=", 1) for part in shlex.split(value)) | found
    return found


def _in_context(path: str) -> bool:
    """Whether .dockerignore lets a file be copied: the last pattern for it or a parent counts."""
    parents = [path, *map(str, PurePosixPath(path).parents)]
    sent = True
    for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines():
        pattern = line.strip()
        if not pattern or pattern.startswith("#"):
            continue
        back, pattern = pattern.startswith("!"), pattern.removeprefix("!")
        if pattern.startswith("**/"):
            hit = any(fnmatch(Path(parent).name, pattern[3:]) for parent in parents)
        else:
            hit = any(
                parent.count("/") == pattern.count("/") and fnmatch(parent, pattern)
                for parent in parents
            )
        if hit:
            sent = back
    return sent


# Form


@pytest.mark.skipif(
    shutil.which("hadolint", path=Path(sys.executable).parent) is None,
    reason="hadolint has no wheel for this kind of machine",
)
def test_hadolint_has_nothing_to_say() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    checked = subprocess.run(
        [str(hadolint), str(FILE)], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stdout


def test_bases_are_pinned() -> None:
    arguments = dict(value.split("=", 1) for name, value in STAGES[""] if name == "ARG")
    assert re.fullmatch(r"\d+\.\d+\.\d+-slim-\w+", arguments["PYTHON"])
    for stage, steps in STAGES.items():
        if stage:
            base = steps[0][1].split()[0]
            assert base == "python:${PYTHON}" or base.replace("${TORCH}", "cpu") in STAGES, base


def test_the_python_is_one_that_we_say_we_run_on() -> None:
    arguments = dict(value.split("=", 1) for name, value in STAGES[""] if name == "ARG")
    minor = ".".join(arguments["PYTHON"].split(".")[:2])
    assert f"Programming Language :: Python :: {minor}" in PROJECT["classifiers"]


def test_what_is_copied_is_there_and_sent_to_the_builder() -> None:
    copied = set()
    for stage in STAGES:
        for name, value in STAGES[stage]:
            words = value.split()
            if name != "COPY":
                continue
            if words[0].startswith("--from="):
                assert words[0].removeprefix("--from=") in STAGES
            else:
                copied |= set(words[:-1])
    assert copied
    for source in copied:
        assert (ROOT / source).exists(), source
        assert _in_context(source), source
    # What the wheel is made of.
    for source in ("worker/models/builtin/model.safetensors", "migrations/env.py"):
        assert _in_context(source), source


@pytest.mark.parametrize(
    "path",
    [
        ".git/config",
        ".venv/bin/python",
        ".env",
        "secrets/postgres_password",
        "deploy/kubernetes/base/statefulset.yaml",
        "worker/__pycache__/cli.cpython-311.pyc",
        "tests/conftest.py",
    ],
)
def test_nothing_else_is_sent_to_the_builder(path: str) -> None:
    assert not _in_context(path)


# The images


@pytest.mark.parametrize("target", ["worker", "trainer"])
def test_an_image_runs_as_nobody_in_particular(target: str) -> None:
    user, _, group = _last(target, "USER").partition(":")
    assert int(user) > 0
    assert int(group) > 0
    for file in (FOLDER.parent / "kubernetes").rglob("*.yaml"):
        for found in re.findall(r"(?:runAsUser|runAsGroup|fsGroup): (\d+)", file.read_text()):
            assert found == user, file


@pytest.mark.parametrize("target", ["worker", "trainer"])
def test_an_image_writes_to_tmp_and_its_volumes_alone(target: str) -> None:
    environment = _environment(target)
    assert environment["PYTHONDONTWRITEBYTECODE"] == "1"
    for name in ("HOME", "XDG_CACHE_HOME", "MPLCONFIGDIR"):
        assert environment[name].startswith("/tmp")
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
    assert f"models:{environment['HF_HOME']}" in compose["services"][target]["volumes"]


@pytest.mark.parametrize("target", ["worker", "trainer"])
def test_an_image_starts_a_script_of_ours(target: str) -> None:
    (program,) = json.loads(_last(target, "ENTRYPOINT"))
    assert program in PROJECT["scripts"]
    assert program == f"emotion-{target}"
    assert json.loads(_last(target, "CMD")) == (["run"] if target == "worker" else ["--help"])


@pytest.mark.parametrize("target", ["worker", "trainer"])
def test_an_image_says_what_it_is(target: str) -> None:
    labels = " ".join(value for name, value in _lineage(target) if name == "LABEL")
    for label in ("title", "description", "version", "revision", "licenses"):
        assert f"org.opencontainers.image.{label}=" in labels
    assert f"ARG VERSION={PROJECT['version']}" in FILE.read_text(encoding="utf-8")


@pytest.mark.parametrize("torch", ["cpu", "cuda"])
@pytest.mark.parametrize("target", ["worker", "trainer"])
def test_an_image_can_be_made_with_either_torch(target: str, torch: str) -> None:
    installs = [
        value for name, value in _lineage(f"{target}-packages", torch) if "pip install" in value
    ]
    assert len(installs) == 2
    assert ("download.pytorch.org/whl/cpu" in installs[1]) == (torch == "cpu")
    extra = "trainer" if target == "trainer" else None
    assert extra is None or (
        extra in PROJECT["optional-dependencies"] and "[trainer]" in installs[0]
    )


def test_the_default_image_is_the_worker() -> None:
    assert list(STAGES)[-1] == "worker"


# The health check


def test_the_worker_asks_itself_how_it_is() -> None:
    words = _last("worker", "HEALTHCHECK").split("CMD ", 1)[1]
    program, script = json.loads(words)
    assert program == "python"
    copied = [value for name, value in STAGES["worker"] if name == "COPY"]
    assert f"{HEALTHCHECK.relative_to(ROOT)} {script}" in copied
    assert "curl" not in FILE.read_text(encoding="utf-8")


def _ask(port: int | str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(HEALTHCHECK)],
        env={"WORKER_METRICS_PORT": str(port)},
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )


def test_a_live_worker_is_healthy_until_it_stalls() -> None:
    clock = ManualClock()
    health = Health(60.0, clock)
    health.pulse("poll")
    with Serving(Metrics(), health, 0) as serving:
        alive = _ask(serving.port)
        clock.now += 61.0
        stalled = _ask(serving.port)
    assert (alive.returncode, alive.stdout) == (0, "ok\n")
    assert stalled.returncode == 1
    assert "poll stage has not moved" in stalled.stdout


def test_one_that_does_not_answer_is_not_healthy() -> None:
    with Serving(Metrics(), Health(60.0, ManualClock()), 0) as serving:
        port = serving.port
    gone = _ask(port)
    assert gone.returncode == 1
    assert "does not answer" in gone.stdout


def test_without_a_port_there_is_nothing_to_ask() -> None:
    assert _ask(0).returncode == 0
