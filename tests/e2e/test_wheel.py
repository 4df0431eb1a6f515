"""An installed wheel carries what it needs: the migrations, the SQL, the bundled model."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.integration, pytest.mark.e2e]

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
    build = [*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", str(folder), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True, cwd=folder)
    (wheel,) = folder.glob("emotion_stream-*.whl")
    target = folder / "site"
    subprocess.run(
        [*pip, "install", "--no-deps", "--no-index", "--target", str(target), str(wheel)],
        check=True,
        capture_output=True,
        cwd=folder,
    )
    return target


def run(site: Path, code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(site), **environment},
        cwd=site,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_migrate_works_from_a_wheel(installed: Path, empty_database_url: str) -> None:
    code = "import worker, worker.cli; print(worker.__file__); worker.cli.main(['migrate'])"
    done = run(installed, code, WORKER_DATABASE_URL=empty_database_url)
    assert done.returncode == 0, done.stderr
    assert str(installed) in done.stdout
    assert re.search(r"schema empty -> \d{4}$", done.stdout, re.MULTILINE)


def test_the_bundled_model_travels(installed: Path) -> None:
    if not (ROOT / "worker/models/builtin/model.safetensors").is_file():
        pytest.skip("the bundled model was not made yet")
    code = "import worker.cli; worker.cli.main(['classify', '--json', 'i feel so happy today'])"
    done = run(installed, code)
    assert done.returncode == 0, done.stderr
    assert '"emotion": "joy"' in done.stdout
