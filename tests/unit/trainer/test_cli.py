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
    for word in ("accuracy", "macro-F1", "loss", "ECE", "sadness", "surprise", "F1", "slices"):
        assert word in out


def test_evaluate_gives_everything_at_once(
    run: Run, posts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = tmp_path / "report.png"
    where = (str(run.folder), "--data", str(posts), "--plot", str(picture), "--perturb")
    assert _exit("evaluate", *where) == 0
    out = capsys.readouterr().out
    for words in ("perturbations", "negated emotions:", "most confident mistakes"):
        assert words in out
    assert picture.is_file()
    assert _exit("evaluate", *where, "--json") == 0
    answer = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert {"intervals", "slices", "coverage", "reliability", "mistakes"} <= answer.keys()
    assert answer["perturbations"]["capitals"]["lost"] == 0
    assert answer["negation"]["posts"] == 60


def test_compare_says_whether_it_is_chance(
    run: Run, posts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pair = (str(run.model_folder(2)), str(run.model_folder(3)), "--data", str(posts))
    assert _exit("compare", *pair) == 0
    out = capsys.readouterr().out
    assert "McNemar's exact test" in out
    assert _exit("compare", *pair, "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert {"a", "b", "difference", "intervals", "p_value"} <= answer.keys()


def test_columns_and_labels_can_be_renamed(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("body,mood\ni feel merry today,glad\ni feel livid today,anger\n")
    renamed = ("--map", "text=body", "--map", "label=mood", "--label", "glad=joy")
    assert _exit("evaluate", str(run.folder), "--data", str(path), *renamed, "--json") == 0
    assert json.loads(capsys.readouterr().out)["posts"] == 2


def test_a_source_is_read_as_its_recipe_reads_it(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # 17 is joy and 2 is anger among GoEmotions' numbers, 27 is neutral and 0 left out.
    (tmp_path / "dev.tsv").write_text("so merry\t17\ta\nlivid\t2\tb\nand\t27\tc\nso\t0\td\n")
    where = ("--data", str(tmp_path), "--split", "val", "--source", "builtin:goemotions")
    assert _exit("evaluate", str(run.folder), *where, "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["posts"], answer["neutral_posts"]) == (2, 1)


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
        (("compare", "{encoder}"), 2, "Missing argument"),
        (("train", "--resume", "{tmp}"), 2, "no run folder"),
        (("train", "--resume", "{tmp}", "--seed", "3"), 2, "--seed: goes without --resume"),
        (("train", "--data", "{posts}", "--data", "{tmp}"), 2, "takes beside it: none other"),
        (("train", "--data", "{posts}", "--map", "body=text"), 2, "body is none of text, label"),
        (("train", "--data", "{posts}", "--label", "glad"), 2, "give it as --label NAME=VALUE"),
        (("train", "--data", "{posts}", "--label", "a=glee"), 2, "a = glee: the labels are"),
        (("evaluate", "{encoder}", "--data", "{posts}", "--source", "x"), 2, "RECIPE:NAME"),
        (("evaluate", "{encoder}", "--data", "{posts}", "--source", "builtin:x"), 2, "no such"),
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
    assert _exit("train", "--recipe", "reference", "--data", str(posts)) == 3
    err = capsys.readouterr().err
    assert "--base FOLDER" in err
    assert "--data FOLDER" in err


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
