"""From two sources to a bundle with `neutral`, as the worker takes it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from trainer import sources
from trainer.evaluate import load
from trainer.package import package
from trainer.train import Job, train
from worker.classifier.bundle import read_bundle
from worker.classifier.hardware import choose_hardware
from worker.classifier.interface import Text
from worker.classifier.transformer import TransformerClassifier
from worker.posts import LABELS, Label

if TYPE_CHECKING:
    from pathlib import Path

    from trainer.recipe import Recipe
    from trainer.run import Run

DULL = ("and today", "so today", "today and so", "and so very")


@pytest.fixture(scope="module")
def made(
    recipe: Recipe, posts: Path, encoder: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Run, Path]:
    folder = tmp_path_factory.mktemp("neutral")
    other = folder / "remarks"
    other.mkdir()
    train_rows = [f"{DULL[i % 4]}\t2" for i in range(40)] + ["so livid\t1", "very merry\t0"] * 10
    (other / "train.tsv").write_text("\n".join(train_rows))
    (other / "dev.tsv").write_text("\n".join([*(f"{d}\t2" for d in DULL), "livid\t1", "jolly\t0"]))
    mixed = type(recipe).model_validate(
        {
            **recipe.model_dump(),
            "neutral": True,
            "epochs": 5,
            "precision": "fp32",
            "temperature_from": "all",
            "augment": {"punctuation": 0.2, "mention": 0.2},
            "sources": [
                {
                    "name": "remarks",
                    "terms": "of the other",
                    "label_names": ["glee", "rage", "dull"],
                    "labels": {"glee": "joy", "rage": "anger", "dull": "neutral"},
                }
            ],
        }
    )
    corpus = sources.load(mixed, str(posts), {"remarks": str(other)})
    run = train(Job(mixed, corpus, encoder, folder / "run", (2,)), say=lambda _: None)
    return run, package(run, folder / "bundle", say=lambda _: None)


def test_the_bundle_says_what_it_was_made_of(made: tuple[Run, Path]) -> None:
    run, bundle = made
    content = json.loads((bundle / "bundle.json").read_text())
    assert [one["name"] for one in content["sources"]] == ["remarks"]
    assert set(content["metrics"]) == {"val", "test", "remarks/val"}
    assert set(content["uncertain"]) == {"val", "test", "remarks/val", "neutral"}
    assert set(content["perturbations"]) == {"val", "remarks/val"}
    assert content["negation"]["posts"] == 60
    assert set(run.chosen.others) == {"remarks"}
    card = (bundle / "README.md").read_text()
    for words in ("`neutral`", "remarks: 60 train, 6 validation posts", "neutral validation posts"):
        assert words in card
    notice = (bundle / "NOTICE").read_text()
    assert "Training data: remarks" in notice
    assert "Terms: for tests only." in notice


def test_the_worker_takes_it_and_neutral_posts_are_uncertain(made: tuple[Run, Path]) -> None:
    found = read_bundle(made[1])
    assert found.labels == (*LABELS, "neutral")
    classifier = TransformerClassifier(
        found, choose_hardware("cpu"), threshold=found.threshold, languages=("en",)
    )
    answers = classifier.classify([Text("i feel merry today"), Text(DULL[0]), Text("@a")])
    assert isinstance(answers[0], Label)
    assert isinstance(answers[1], Label)
    assert answers[0].emotion == "joy"
    assert answers[1].emotion == "uncertain"
    assert sum(answers[1].scores) < 500_000, "neutral has the rest, and no score"
    assert load(str(made[1])).outputs == found.labels
