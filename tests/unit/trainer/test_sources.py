from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from trainer import sources
from trainer.recipe import Recipe
from worker.errors import SettingsError

if TYPE_CHECKING:
    from pathlib import Path

OTHER = {
    "name": "remarks",
    "terms": "for tests",
    "label_names": ["glee", "rage", "dull", "odd", "joy"],
    "labels": {"glee": "joy", "rage": "anger", "dull": "neutral"},
    "held_out_labels": {"rage": "anger", "dull": "neutral"},
    "several": "merge",
    "at_most": {"neutral": 2},
}


def _recipe(**changes: Any) -> Recipe:
    return Recipe.model_validate(
        {
            "name": "mixed",
            "base": "some/base",
            "dataset": "some/data",
            "learning_rate": 1e-3,
            "neutral": True,
            "sources": [OTHER],
            **changes,
        }
    )


@pytest.fixture
def places(tmp_path: Path) -> tuple[str, str]:
    first, other = tmp_path / "first", tmp_path / "other"
    first.mkdir()
    other.mkdir()
    for name in ("train", "val", "test"):
        (first / f"{name}.txt").write_text("i feel merry;joy\ni feel livid;anger\n")
    (other / "train.tsv").write_text(
        "yay\t0\t1\ngrr\t1\t2\nbus\t2\t3\ntram\t2\t4\ntrain\t2\t5\nhuh\t3\t6\nha\t0,3\t7\nhm\t0,1\t8\n"
        "named as ours but not asked for\t4\t9\n"
    )
    (other / "dev.tsv").write_text("no\t1\t1\nyes\t0\t2\nboth\t1,3\t3\nok\t2\t4\n")
    return str(first), str(other)


def test_a_source_speaks_our_labels(places: tuple[str, str]) -> None:
    recipe = _recipe()
    corpus = sources.load(recipe, places[0], {"remarks": places[1]})
    train = corpus.others["remarks"].split("train")
    pairs = dict(zip(train.texts, train.labels, strict=True))
    assert pairs.keys() - {"bus", "tram", "train"} == {"yay", "grr", "ha"}
    assert (pairs["yay"], pairs["grr"], pairs["ha"]) == (1, 3, 1)
    assert sum(label == 6 for label in train.labels) == 2, "at most two neutral ones"
    held_out = corpus.held_out()
    assert held_out["remarks"].texts == ("no",), "several labels never count in validation"
    assert corpus.neutral().texts == ("ok",)
    fit = corpus.fit(recipe).split
    assert len(fit) == 2 + 5
    assert corpus.others["remarks"].fingerprint() != corpus.first.fingerprint()


def test_made_posts_are_the_same_each_time_and_need_no_seed(places: tuple[str, str]) -> None:
    recipe = _recipe(negated_posts=30, emoji_posts=10)
    corpus = sources.load(recipe, places[0], {"remarks": places[1]})
    first, second = corpus.fit(recipe).split, corpus.fit(recipe).split
    assert first == second
    assert len(first) == 7 + 40
    plain = recipe.model_copy(update={"neutral": False})
    assert 6 not in corpus.fit(plain).split.labels[7:]


def test_locations_are_given_by_name() -> None:
    recipe = _recipe()
    found = sources.parse_locations(["a/b=c", "remarks=x=y"], recipe)
    assert found == ("a/b=c", {"remarks": "x=y"})
    assert sources.parse_locations([], recipe) == (None, {})
    with pytest.raises(SettingsError, match=r"remarks=SOURCE"):
        sources.parse_locations(["a", "b"], recipe)
    with pytest.raises(SettingsError, match="twice"):
        sources.parse_locations(["remarks=a", "remarks=b"], recipe)


def test_a_mapping_to_none_of_our_labels_is_refused(places: tuple[str, str]) -> None:
    wrong = {**OTHER, "labels": {"glee": "gladness"}}
    with pytest.raises(SettingsError, match=r"source remarks: labels: glee = gladness"):
        sources.load(_recipe(sources=[wrong]), places[0], {"remarks": places[1]})
    with pytest.raises(SettingsError, match=r"dull = neutral"):
        sources.load(_recipe(neutral=False), places[0], {"remarks": places[1]})


def test_what_a_bundle_says_of_data_is_what_it_is(places: tuple[str, str]) -> None:
    dataset = sources.load(_recipe(), places[0], {"remarks": places[1]}).first
    known = dataset.fingerprint()
    about = sources.describe(
        dataset, name="some/data", terms="mine", known=False, fingerprint=known
    )
    assert json.loads(json.dumps(about)) == {
        "name": "some/data",
        "terms": "mine",
        "fingerprint": known,
        "rows": {"train": 2, "val": 2, "test": 2},
    }
    other = sources.describe(dataset, name="some/data", terms="mine", known=False, fingerprint="0")
    assert (other["name"], other["terms"]) == ("first", "unknown")
