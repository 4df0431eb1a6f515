"""CI and the rest of `.github`: valid, pinned, without rights, and calling the same targets."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[3]
WORKFLOW = ROOT / ".github" / "workflows" / "ci.yml"
JOBS: dict[str, dict[str, Any]] = yaml.safe_load(WORKFLOW.read_text(encoding="utf-8"))["jobs"]
MAKE = re.compile(r"^\s*make ([a-z-]+)", re.MULTILINE)


def _commands() -> Iterator[str]:
    for job in JOBS.values():
        for step in job["steps"]:
            if "run" in step:
                yield step["run"]


def _targets() -> set[str]:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    return set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))


@pytest.mark.parametrize(
    ("schema", "file"),
    [
        ("vendor.github-workflows", ".github/workflows/ci.yml"),
        ("vendor.dependabot", ".github/dependabot.yml"),
    ],
)
def test_it_fits_its_schema(schema: str, file: str) -> None:
    checked = subprocess.run(
        [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, ROOT / file],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout


def test_jobs_may_read_and_no_more() -> None:
    assert yaml.safe_load(WORKFLOW.read_text(encoding="utf-8"))["permissions"] == {}
    for job in JOBS.values():
        assert job["permissions"] == {"contents": "read"}
        assert job["timeout-minutes"] <= 60


def test_actions_are_pinned_and_keep_no_token() -> None:
    used = [step for job in JOBS.values() for step in job["steps"] if "uses" in step]
    assert used
    for step in used:
        assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", step["uses"]), step["uses"]
        if step["uses"].startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False
    # Dependabot reads the version from the comment.
    for line in WORKFLOW.read_text(encoding="utf-8").splitlines():
        assert ("uses: " not in line) or re.search(r" # v\d+\.\d+\.\d+$", line), line


def test_it_runs_on_each_python_that_we_say_we_run_on() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    said = re.findall(r"Python :: (3\.\d+)", "\n".join(project["classifiers"]))
    assert JOBS["test"]["strategy"]["matrix"]["python"] == said


def test_it_calls_the_targets_that_a_change_must_pass() -> None:
    called = {target for command in _commands() for target in MAKE.findall(command)}
    assert called <= _targets()
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    of_tests = {
        target for step in JOBS["test"]["steps"] for target in MAKE.findall(step.get("run", ""))
    }
    assert set(MAKE.findall(script)) <= of_tests


def test_services_of_the_compose_file_are_given_to_the_suite() -> None:
    commands = "\n".join(step.get("run", "") for step in JOBS["services"]["steps"])
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
    (up,) = re.findall(r"docker compose up .* (kafka postgres)$", commands, re.MULTILINE)
    assert set(up.split()) <= set(compose["services"])
    for variable in ("WORKER_KAFKA_BOOTSTRAP_SERVERS", "WORKER_DATABASE_URL"):
        assert f"export {variable}=" in commands
        assert variable in (ROOT / "tests" / "conftest.py").read_text(encoding="utf-8")


def test_compose_is_used_with_services_that_there_are() -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
    commands = "\n".join(step.get("run", "") for step in JOBS["compose"]["steps"])
    for name in re.findall(
        r"docker compose (?:run --rm|stop)(?: --?\S+(?: \S+=\S+)?)* (\S+)", commands
    ):
        assert name in compose["services"], name


def test_hooks_use_the_tools_of_the_environment() -> None:
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    for repo in config["repos"]:
        if repo["repo"] != "local":
            assert re.fullmatch(r"v\d+\.\d+\.\d+", repo["rev"])
            continue
        for hook in repo["hooks"]:
            program = hook["entry"].split()[0]
            assert program.startswith(".venv/bin/")
            assert Path(sys.executable).with_name(Path(program).name).exists(), program


def test_dependabot_looks_where_versions_are() -> None:
    config = yaml.safe_load((ROOT / ".github" / "dependabot.yml").read_text(encoding="utf-8"))
    places = {update["package-ecosystem"]: update["directory"] for update in config["updates"]}
    assert set(places) == {"pip", "docker", "docker-compose", "github-actions"}
    assert (ROOT / places["docker"].lstrip("/") / "Dockerfile").is_file()
