from __future__ import annotations

import json
import random
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from trainer import distill, sources
from trainer import run as runs
from trainer.crossing import cross
from trainer.evaluate import load
from trainer.labels import UNLABELLED
from trainer.package import package
from trainer.train import Job, train
from worker.errors import SettingsError

if TYPE_CHECKING:
    from pathlib import Path

    from trainer.recipe import Recipe
    from trainer.run import Run

DULL = ("and today", "so today", "today and so", "and so very")


@pytest.fixture(scope="module")
def corpus(
    recipe: Recipe, posts: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Recipe, sources.Corpus]:
    folder = tmp_path_factory.mktemp("remarks")
    (folder / "train.tsv").write_text("\n".join(f"{DULL[i % 4]}\t0" for i in range(40)))
    mixed = type(recipe).model_validate(
        {
            **recipe.model_dump(),
            "neutral": True,
            "epochs": 5,
            "crossed_posts": 25,
            "sources": [
                {"name": "remarks", "label_names": ["dull"], "labels": {"dull": "neutral"}}
            ],
        }
    )
    return mixed, sources.load(mixed, str(posts), {"remarks": str(folder)})


@pytest.fixture(scope="module")
def teacher(
    corpus: tuple[Recipe, sources.Corpus],
    encoder: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    output = tmp_path_factory.mktemp("taught") / "teacher"
    return train(Job(*corpus, encoder, output, (2,)), say=lambda _: None).folder


def test_crossed_posts_are_halves_of_real_ones() -> None:
    made = cross(["a b c d e f", "1 2 3 4 5 6"], 200, random.Random(3))
    assert len(made) == 200
    for text in made:
        words = text.split()
        assert 2 <= len(words) <= 8
        assert words[0] in {"a", "1"}
        assert words[-1] in {"f", "6"}
    assert cross(["x"], 1, random.Random(3)), "a word alone has no halves, and is kept"


def test_only_teachers_bring_crossed_posts(corpus: tuple[Recipe, sources.Corpus]) -> None:
    recipe, data = corpus
    alone, taught = data.fit(recipe), data.fit(recipe, taught=True)
    assert UNLABELLED not in alone.split.labels
    own = len(data.first.split("train"))
    assert (alone.own, taught.own) == (own, own + 25)
    assert taught.split.labels[own : own + 25] == (UNLABELLED,) * 25
    assert len(taught.split) == len(alone.split) + 25


def test_a_teacher_without_neutral_speaks_of_the_first_data_alone(run: Run, teacher: Path) -> None:
    six, seven = load(str(run.folder)), load(str(teacher))
    texts = ["i feel merry", "so livid", "and today"]
    said: list[str] = []
    found = distill.targets([six, seven], texts, own=2, say=said.append)
    assert found is not None
    alone = distill.targets([seven], texts, own=2, say=said.append)
    assert alone is not None
    assert np.allclose(found.sum(axis=1), 1, atol=1e-5)
    assert np.allclose(found[2], alone[2]), "of the third only one says anything"
    assert np.allclose(found[:2, 6], alone[:2, 6] / 2), "for the other nothing is neutral"
    assert distill.targets([], texts, own=2, say=said.append) is None
    assert [line.split(":")[1] for line in said] == [" 2 posts", " 3 posts", " 3 posts"]


@pytest.mark.slow
def test_a_student_learns_neutral_from_teachers_and_the_recipe_alone_needs_one(
    corpus: tuple[Recipe, sources.Corpus],
    encoder: Path,
    run: Run,
    teacher: Path,
    tmp_path: Path,
) -> None:
    recipe, data = corpus
    # Every label is a teacher's: the crossed posts have none, the others' are not looked at.
    taught = recipe.model_copy(update={"distillation_weight": 1.0, "epochs": 12})
    job = Job(taught, data, encoder, tmp_path / "student", (2,), (str(run.folder), str(teacher)))
    student = train(job, say=lambda _: None)
    assert student.chosen.val["accuracy"] > 0.9
    with pytest.raises(SettingsError, match=r"knows no neutral"):
        train(
            replace(job, output=tmp_path / "other", teachers=(str(run.folder),)),
            say=lambda _: None,
        )


def test_expected_neutral_posts_become_neutral_in_the_bundle(teacher: Path, tmp_path: Path) -> None:
    run = runs.load(teacher)
    expecting = replace(run, recipe=run.recipe.model_copy(update={"neutral_odds": 20.0}))
    bundles = [
        package(one, tmp_path / name, say=lambda _: None)
        for name, one in (("plain", run), ("shifted", expecting))
    ]
    biases = [load(str(bundle)).network.classifier.bias.tolist() for bundle in bundles]
    assert biases[1][:6] == biases[0][:6]
    assert biases[1][6] - biases[0][6] == pytest.approx(np.log(20), abs=5e-3)
    about = json.loads((bundles[1] / "bundle.json").read_text())
    assert about["recipe"]["neutral_odds"] == 20.0
    cards = [(bundle / "README.md").read_text() for bundle in bundles]
    assert "20 times what training made them" in cards[1]
    assert "times what training made them" not in cards[0]
