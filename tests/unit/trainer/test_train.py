from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from trainer import data
from trainer import run as runs
from trainer.evaluate import load
from trainer.measuring import evaluate
from trainer.run import SeedResult
from trainer.sources import Corpus
from trainer.train import Job, train
from worker.errors import SettingsError

if TYPE_CHECKING:
    from pathlib import Path

    from trainer.recipe import Recipe
    from trainer.run import Run


def _result(seed: int, accuracy: float, loss: float) -> SeedResult:
    figures = {"accuracy": accuracy, "loss": loss, "macro_f1": 0.5, "ece": 0.1}
    return SeedResult(seed=seed, minutes=1.0, val=figures)


def test_a_run_learns_and_its_record_says_what_it_did(run: Run, posts: Path) -> None:
    record = json.loads((run.folder / "run.json").read_text())
    assert [result["seed"] for result in record["seeds"]] == [2, 3]
    assert record["chosen_seed"] == run.chosen.seed
    assert record["dataset"] == {
        "name": "someone/posts",
        "terms": "for tests only",
        "fingerprint": data.load(str(posts)).fingerprint(),
        "rows": {"train": 240, "val": 24, "test": 24},
    }
    assert {"python", "torch", "transformers"} <= record["versions"].keys()
    assert runs.load(run.folder) == run
    figures = evaluate(load(str(run.folder)), data.load_split(str(posts), "val")).figures
    assert figures.accuracy > 0.9
    assert figures.rounded() == pytest.approx(run.chosen.val, abs=1e-4)
    left = {entry.name for entry in run.folder.iterdir()}
    assert left == {"run.json", "recipe.json", "data.json", "checkpoints", "seed-2", "seed-3"}


def test_validation_chooses_by_accuracy_then_loss(run: Run) -> None:
    seeds = (_result(1, 0.93, 0.10), _result(2, 0.94, 0.30), _result(3, 0.94, 0.20))
    assert replace(run, seeds=seeds).chosen.seed == 3
    with pytest.raises(SettingsError, match="no seed is trained"):
        _ = replace(run, seeds=()).chosen


def test_other_data_and_encoders_are_not_recorded_under_the_recipes_names(
    run: Run, recipe: Recipe, posts: Path, encoder: Path, tmp_path: Path
) -> None:
    assert run.as_intended
    assert run.base == "someone/tiny"
    other = recipe.model_copy(update={"base_sha256": "0" * 64, "dataset_fingerprint": None})
    dataset = data.load(str(posts))
    made = runs.create(
        tmp_path / "run", recipe=other, corpus=Corpus(dataset), encoder=encoder, seeds=(1,)
    )
    assert made.base == encoder.name
    assert (made.dataset["name"], made.dataset["terms"]) == (posts.name, "unknown")
    assert not made.as_intended
    assert runs.load(tmp_path / "run") == made


def test_a_used_output_or_data_without_validation_is_refused(
    run: Run, recipe: Recipe, encoder: Path, posts: Path, tmp_path: Path
) -> None:
    job = Job(recipe, Corpus(data.load(str(posts))), encoder, run.folder, (1,))
    with pytest.raises(SettingsError, match="not empty"):
        train(job, say=print)
    (tmp_path / "train.txt").write_text("merry;joy\n")
    job = Job(recipe, Corpus(data.load(str(tmp_path))), encoder, tmp_path / "run", (1,))
    with pytest.raises(SettingsError, match="no val split"):
        train(job, say=print)
    assert not (tmp_path / "run").exists()


def test_a_folder_that_is_no_run_or_a_broken_one_is_refused(run: Run, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"run\.json is missing"):
        runs.load(tmp_path)
    (tmp_path / "recipe.json").write_bytes((run.folder / "recipe.json").read_bytes())
    (tmp_path / "run.json").write_text('{"seeds": [], "seeds_asked"')
    with pytest.raises(SettingsError, match="broken"):
        runs.load(tmp_path)
