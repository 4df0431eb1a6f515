from __future__ import annotations

import json
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from safetensors import SafetensorError, safe_open
from transformers import pipeline

from trainer import data
from trainer import package as packaging
from trainer.card import Robustness, model_card, notice
from trainer.evaluate import load
from trainer.measuring import evaluate
from trainer.package import FILES, BundleError, package
from worker.errors import SettingsError
from worker.posts import LABELS

if TYPE_CHECKING:
    from pathlib import Path

    from trainer.run import Run


@pytest.fixture(scope="module")
def bundle(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return package(run, tmp_path_factory.mktemp("bundles") / "tiny", say=lambda _: None)


def test_bundle_json_keeps_its_contract(bundle: Path, run: Run) -> None:
    content = json.loads((bundle / "bundle.json").read_text())
    assert list(content) == [
        "name",
        "version",
        "base",
        "dataset",
        "sources",
        "teachers",
        "recipe",
        "metrics",
        "temperature",
        "threshold",
        "languages",
        "max_length",
        "git_revision",
        "uncertain",
        "perturbations",
        "negation",
    ]
    assert (content["name"], content["version"]) == ("tiny", "3")
    assert content["languages"] == ["en", "de"]
    assert content["max_length"] == 12
    assert content["dataset"]["fingerprint"] == run.dataset["fingerprint"]
    assert content["recipe"]["seed"] == run.chosen.seed
    assert set(content["metrics"]) == {"val", "test"}
    for figures in content["metrics"].values():
        assert set(figures) == {"accuracy", "macro_f1", "loss", "ece"}
    assert 0 < content["threshold"] < 1


def test_plain_transformers_uses_the_bundle(bundle: Path) -> None:
    assert {entry.name for entry in bundle.iterdir()} == set(FILES)
    config = json.loads((bundle / "config.json").read_text())
    assert config["id2label"] == {str(i): label for i, label in enumerate(LABELS)}
    with safe_open(bundle / "model.safetensors", "pt") as weights:
        kinds = {str(weights.get_tensor(name).dtype) for name in weights.keys()}  # noqa: SIM118
    assert kinds == {"torch.float16"}
    classify = pipeline("text-classification", model=str(bundle), device="cpu")
    answers = classify(["@ann I feel SO #furious today https://t.co/x", "i feel very merry today"])
    assert [answer["label"] for answer in answers] == ["anger", "joy"]


def test_its_figures_are_those_that_evaluate_gives(bundle: Path, posts: Path) -> None:
    content = json.loads((bundle / "bundle.json").read_text())
    model = load(str(bundle))
    assert model.temperature == content["temperature"]
    for split in ("val", "test"):
        found = evaluate(model, data.load_split(str(posts), split)).figures.rounded()
        assert found == pytest.approx(content["metrics"][split], abs=1e-4)


def test_the_card_and_the_notice_state_the_terms(bundle: Path, run: Run) -> None:
    card = (bundle / "README.md").read_text()
    for heading in (
        "Intended uses",
        "Limitations",
        "Training data",
        "Training procedure",
        "Results",
    ):
        assert f"\n## {heading}\n" in card
    assert "Knows eighteen words." in card
    assert f"| {run.chosen.seed} (chosen) |" in card
    terms = (bundle / "NOTICE").read_text()
    assert "Terms: for tests only." in terms
    assert "not under the licence of emotion-stream's code" in terms


def test_what_the_recipe_says_of_its_data_is_not_said_of_other_data(run: Run) -> None:
    elsewhere = replace(run, dataset=run.dataset | {"name": "mine", "terms": "unknown"})
    card = model_card(
        elsewhere,
        chosen=run.chosen,
        figures={},
        coverage={},
        temperature=1.0,
        threshold=0.5,
        robust=Robustness(None, {}, {}),
        parameters=1,
    )
    assert "Knows eighteen words." not in card
    assert "someone/posts" not in card
    assert "Terms: unknown." in notice(elsewhere)


def test_an_old_bundle_is_replaced_and_other_folders_are_not(run: Run, tmp_path: Path) -> None:
    output = tmp_path / "bundle"
    output.mkdir()
    (output / "NOTICE").write_text("old")
    package(run, output, say=lambda _: None)
    assert {
        entry.name: entry.stat().st_mode & 0o777 for entry in output.iterdir()
    } == dict.fromkeys(FILES, 0o644)
    assert [entry.name for entry in tmp_path.iterdir()] == ["bundle"]
    (output / "thesis.txt").write_text("precious")
    with pytest.raises(SettingsError, match=r"thesis\.txt"):
        package(run, output, say=lambda _: None)


def test_a_failed_self_check_leaves_everything_as_it_was(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "bundle"
    output.mkdir()
    (output / "NOTICE").write_text("old")
    tidy = packaging._tidy_tokenizer

    def spoil(folder: Path) -> None:
        tidy(folder)
        path = folder / "tokenizer.json"
        path.write_text(path.read_text().replace('"feel"', '"fell"'))

    monkeypatch.setattr(packaging, "_tidy_tokenizer", spoil)
    with pytest.raises(BundleError, match="logits differ"):
        package(run, output, say=lambda _: None)
    assert [entry.name for entry in tmp_path.iterdir()] == ["bundle"]
    assert (output / "NOTICE").read_text() == "old"


def _spoiled(run: Run, folder: Path, name: str, old: str, new: str) -> Run:
    seed = run.model_folder(run.chosen.seed)
    shutil.copytree(seed, folder / seed.name)
    path = folder / seed.name / name
    path.write_text(path.read_text().replace(old, new))
    return replace(run, folder=folder)


def test_shuffled_labels_are_refused(run: Run, tmp_path: Path) -> None:
    broken = _spoiled(run, tmp_path / "run", "config.json", '"0": "sadness"', '"0": "gladness"')
    with pytest.raises(SettingsError, match=r"its labels are gladness, joy.*in this order"):
        package(broken, tmp_path / "bundle", say=lambda _: None)
    assert not (tmp_path / "bundle").exists()


def test_a_model_cut_short_is_refused(run: Run, tmp_path: Path) -> None:
    broken = _spoiled(run, tmp_path / "run", "config.json", "x", "x")
    weights = broken.model_folder(run.chosen.seed) / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(SettingsError, match="no model could be loaded"):
        package(broken, tmp_path / "bundle", say=lambda _: None)
    assert not (tmp_path / "bundle").exists()


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device"), SafetensorError("No space left on device")]
)
def test_a_full_disk_leaves_nothing_half_written(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def full(folder: Path) -> None:
        raise error

    monkeypatch.setattr(packaging, "_tidy_tokenizer", full)
    with pytest.raises(BundleError, match=r"cannot be written: .*No space left on device"):
        package(run, tmp_path / "bundle", say=lambda _: None)
    assert list(tmp_path.iterdir()) == []


def test_a_bundle_with_shuffled_labels_is_refused(bundle: Path, tmp_path: Path) -> None:
    copy = tmp_path / "bundle"
    shutil.copytree(bundle, copy)
    config = json.loads((copy / "config.json").read_text())
    config["id2label"]["0"], config["id2label"]["1"] = "joy", "sadness"
    (copy / "config.json").write_text(json.dumps(config))
    with pytest.raises(SettingsError, match=r"its labels are joy, sadness, love.*in this order"):
        load(str(copy))


def test_another_seed_can_be_packaged(run: Run, tmp_path: Path) -> None:
    other = next(result.seed for result in run.seeds if result != run.chosen)
    folder = package(run, tmp_path / "bundle", seed=other, say=lambda _: None)
    content = json.loads((folder / "bundle.json").read_text())
    assert content["recipe"]["seed"] == other
    text = (folder / "README.md").read_text()
    assert f"Seed {other} was asked for" in text
    assert f"would have chosen {run.chosen.seed}:" in " ".join(text.split())
    assert f"| {other} (chosen) |" in (folder / "README.md").read_text()
    with pytest.raises(SettingsError, match=r"--seed 9: .*it has: 2, 3"):
        package(run, tmp_path / "none", seed=9, say=lambda _: None)


def test_the_card_has_what_was_measured(bundle: Path, run: Run) -> None:
    content = json.loads((bundle / "bundle.json").read_text())
    card = (bundle / "README.md").read_text()
    for figures in content["metrics"].values():
        assert f"| {figures['accuracy']:.4f} | {figures['macro_f1']:.4f} |" in card
    assert f"{content['negation']['right']} of 60 right" in card
    assert "| capitals | 0.0 |" in card
    assert "standard deviation over the 2 seeds" in card
    mean, deviation = run.spread()["accuracy"]
    assert f"accuracy {mean:.4f} +- {deviation:.4f}" in card


def test_other_data_than_the_runs_is_refused(run: Run, tmp_path: Path) -> None:
    for name in ("train", "val"):
        (tmp_path / f"{name}.txt").write_text("merry;joy\n")
    with pytest.raises(SettingsError, match="fingerprint"):
        package(run, tmp_path / "bundle", places=(str(tmp_path), {}), say=lambda _: None)
    moved = replace(run, data_source=str(tmp_path / "gone"))
    with pytest.raises(SettingsError, match="--data"):
        package(moved, tmp_path / "bundle", say=lambda _: None)
