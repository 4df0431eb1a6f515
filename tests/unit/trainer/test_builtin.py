"""The bundle that ships: what anyone gets who loads it with plain transformers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

import worker
from trainer import data, recipe
from trainer.evaluate import load
from trainer.measuring import evaluate
from trainer.package import FILES
from worker.posts import LABELS

BUILTIN = Path(worker.__file__).parent / "models" / "builtin"
DATA = Path(__file__).parents[4] / "shared" / "data" / "emotion"


@pytest.fixture(scope="module")
def bundle() -> dict[str, Any]:
    content: dict[str, Any] = json.loads((BUILTIN / "bundle.json").read_text())
    return content


def test_it_is_small_and_whole() -> None:
    files = {entry.name: entry.stat().st_size for entry in BUILTIN.iterdir()}
    assert set(files) == set(FILES)
    assert sum(files.values()) <= 48_000_000


def test_it_was_made_by_the_recipe_that_ships(bundle: dict[str, Any]) -> None:
    shipped = recipe.load("builtin")
    if bundle["version"] != shipped.version:
        pytest.skip(f"the bundle is version {bundle['version']}, the recipe {shipped.version}")
    made_with = dict(bundle["recipe"])
    assert made_with.pop("seed") in shipped.seeds
    assert recipe.Recipe.model_validate(made_with) == shipped
    assert bundle["base"] == shipped.base
    assert bundle["dataset"]["fingerprint"] == shipped.dataset_fingerprint
    assert bundle["languages"] == ["en"]


def test_it_is_good_and_honest_enough_to_ship(bundle: dict[str, Any]) -> None:
    figures = bundle["metrics"]["test"]
    assert figures["accuracy"] >= 0.931
    assert figures["loss"] <= 0.1789
    assert figures["ece"] <= 0.03


def test_the_notice_passes_the_datas_terms_on() -> None:
    notice = (BUILTIN / "NOTICE").read_text()
    assert "dair-ai/emotion" in notice
    assert "education and research only" in notice
    assert "Apache-2.0" in notice


def test_plain_transformers_labels_plain_sentences(bundle: dict[str, Any]) -> None:
    tokenizer: Any = AutoTokenizer.from_pretrained(BUILTIN)
    model = AutoModelForSequenceClassification.from_pretrained(BUILTIN, dtype=torch.float32).eval()
    assert tuple(model.config.id2label[i] for i in range(6)) == LABELS
    sentences = {
        "I feel so lonely and hopeless since she left": "sadness",
        "I'm feeling wonderful, what a happy day! #blessed": "joy",
        "I feel so affectionate and loving towards my sweet husband": "love",
        "@united I am furious, I feel so angry &amp; insulted https://t.co/x": "anger",
        "i feel terrified and scared of what might happen": "fear",
        "I was so surprised and amazed, I feel stunned": "surprise",
    }
    inputs = tokenizer(list(sentences), padding=True, truncation=True, return_tensors="pt")
    assert inputs["input_ids"].shape[1] <= bundle["max_length"]
    with torch.inference_mode():
        found = model(**inputs).logits.argmax(dim=-1).tolist()
    assert [LABELS[index] for index in found] == list(sentences.values())


@pytest.mark.parametrize("text", ["", "https://t.co/x", "@united", "RT @united: https://t.co/x"])
def test_nothing_left_to_read_is_special_tokens_only(text: str) -> None:
    tokenizer: Any = AutoTokenizer.from_pretrained(BUILTIN)
    assert tokenizer.convert_ids_to_tokens(tokenizer(text)["input_ids"]) == ["[CLS]", "[SEP]"]


def test_its_figures_can_be_measured_again(bundle: dict[str, Any]) -> None:
    if not DATA.is_dir():
        pytest.skip(f"no data to measure on at {DATA}")
    split = data.load_split(str(DATA), "val")
    # A tenth of the split: enough to see a bundle that does not do what it says.
    part = data.Split(split.texts[::10], split.labels[::10])
    figures = evaluate(load(str(BUILTIN)), part).figures
    assert figures.accuracy == pytest.approx(bundle["metrics"]["val"]["accuracy"], abs=0.06)
    assert figures.loss == pytest.approx(bundle["metrics"]["val"]["loss"], abs=0.12)
