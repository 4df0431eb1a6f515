from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from trainer.cli import main

if TYPE_CHECKING:
    from pathlib import Path

    from trainer.recipe import Recipe
    from trainer.run import Run


def _exit(*args: str) -> int:
    with pytest.raises(SystemExit) as caught:
        main(args)
    assert isinstance(caught.value.code, int)
    return caught.value.code


def test_train_package_and_evaluate(
    recipe: Recipe,
    posts: Path,
    encoder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "tiny.json"
    path.write_text(recipe.model_copy(update={"epochs": 2}).model_dump_json())
    run, bundle = tmp_path / "run", tmp_path / "bundle"
    where = ("--data", str(posts), "--base", str(encoder), "--output", str(run))
    assert _exit("train", "--recipe", str(path), *where, "--seed", "9") == 0
    assert "chosen on validation: seed 9 of 1" in capsys.readouterr().out
    assert _exit("package", str(run), "--output", str(bundle)) == 0
    capsys.readouterr()
    assert _exit("evaluate", str(bundle), "--data", str(posts), "--split", "val", "--json") == 0
    answer = json.loads(capsys.readouterr().out.splitlines()[-1])
    expected = json.loads((bundle / "bundle.json").read_text())["metrics"]["val"]
    assert {name: answer[name] for name in expected} == pytest.approx(expected, abs=1e-4)
    assert sum(map(sum, answer["confusion"])) == answer["posts"] == 24


def test_evaluate_prints_f1_and_confusion(
    run: Run, posts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _exit("evaluate", str(run.folder), "--data", str(posts)) == 0
    out = capsys.readouterr().out
    assert "test: 24 posts" in out
    for word in ("accuracy", "macro-F1", "loss", "ECE", "sadness", "surprise", "F1"):
        assert word in out


@pytest.fixture
def places(posts: Path, encoder: Path, tmp_path: Path) -> dict[str, str]:
    (tmp_path / "bad.txt").write_text("fine;joy\nhm;boredom\n")
    return {"tmp": str(tmp_path), "posts": str(posts), "encoder": str(encoder)}


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (("train", "--recipe", "nonsense"), 2, "no recipe of that name"),
        (("train", "--data", "{tmp}/nowhere"), 2, "no such file"),
        (("train", "--data", "{posts}", "--base", "{tmp}"), 2, "no config.json"),
        (("package", "{tmp}", "--output", "{tmp}/x"), 2, "no run folder"),
        (("evaluate", "{encoder}", "--data", "{posts}/train.csv"), 2, "no such file"),
        (("evaluate", "{encoder}", "--data", "{posts}"), 2, "its labels are LABEL_0"),
        (("evaluate", "{encoder}", "--data", "{tmp}/bad.txt"), 1, "bad.txt, line 2: "),
        (("evaluate", "{encoder}"), 2, "--data"),
        (("brew",), 2, "No such command"),
    ],
)
def test_a_users_mistake_is_a_line_or_two_and_a_code(
    args: tuple[str, ...],
    code: int,
    words: str,
    places: dict[str, str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert _exit(*(arg.format(**places) for arg in args)) == code
    err = capsys.readouterr().err
    assert words in err
    assert "Traceback" not in err


def test_an_encoder_that_the_hub_does_not_give_says_what_to_do(
    posts: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def unreachable(*_: object, **__: object) -> None:
        raise ConnectionError("no route")

    monkeypatch.setattr("trainer.encoder.snapshot_download", unreachable)
    assert _exit("train", "--recipe", "builtin", "--data", str(posts)) == 3
    assert "--base FOLDER" in capsys.readouterr().err


def test_help_does_not_wait_for_torch() -> None:
    script = (
        "import sys\n"
        "from trainer.cli import app\n"
        "app.main(['--help'], standalone_mode=False)\n"
        "assert not {'torch', 'transformers'} & set(sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert "package" in done.stdout
