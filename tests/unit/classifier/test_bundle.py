from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from safetensors.numpy import load_file, save_file

from worker.classifier import load_classifier
from worker.classifier.bundle import read_bundle, resolve_bundle
from worker.errors import DependencyError, SettingsError
from worker.posts import LABELS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def _edit(path: Path, **entries: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | entries))


def test_reads_what_the_bundle_says(make_bundle: Callable[..., Path]) -> None:
    path = make_bundle(languages=["en", "de"])

    bundle = read_bundle(path)

    assert (bundle.name, bundle.version, bundle.base) == ("tiny", "1.2.3", "nothing")
    assert bundle.labels == LABELS
    assert bundle.languages == ("en", "de")
    assert (bundle.temperature, bundle.threshold, bundle.max_length) == (0.8, 0.1, 16)
    assert bundle.metrics == {"test": {"accuracy": 0.5}}
    assert (bundle.pad_id, bundle.unknown_id) == (0, 1)
    assert re.fullmatch("[0-9a-f]{64}", bundle.sha256)


def test_knows_neutral_as_a_seventh(make_bundle: Callable[..., Path]) -> None:
    assert read_bundle(make_bundle(outputs=7)).labels == (*LABELS, "neutral")


def test_identity_is_of_the_content(make_bundle: Callable[..., Path]) -> None:
    path = make_bundle()
    before = read_bundle(path).sha256

    assert read_bundle(make_bundle()).sha256 == before
    assert read_bundle(make_bundle(temperature=0.9)).sha256 != before
    _edit(path / "config.json", comment="another")
    assert read_bundle(path).sha256 != before


def test_takes_a_plain_folder_with_defaults(make_bundle: Callable[..., Path]) -> None:
    bundle = read_bundle(make_bundle(about=None))

    assert (bundle.temperature, bundle.threshold, bundle.languages) == (1.0, 0.0, ("en",))
    assert bundle.max_length == 64  # the config's positions
    assert bundle.name == "bundle-1"


def test_a_plain_folder_s_tokenizer_may_say_less(make_bundle: Callable[..., Path]) -> None:
    path = make_bundle(about=None)
    (path / "tokenizer_config.json").write_text('{"model_max_length": 32}')

    assert read_bundle(path).max_length == 32


def test_names_a_model_in_the_hub_s_cache_by_its_id(
    make_bundle: Callable[..., Path], tmp_path: Path
) -> None:
    snapshot = tmp_path / "models--some--model" / "snapshots" / "abc"
    snapshot.parent.mkdir(parents=True)
    make_bundle(about=None).rename(snapshot)

    bundle = read_bundle(snapshot)

    assert (bundle.name, bundle.version) == ("some/model", "abc")


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
def test_refuses_a_missing_file(make_bundle: Callable[..., Path], name: str) -> None:
    path = make_bundle()
    (path / name).unlink()

    with pytest.raises(SettingsError, match=f"{name}: is missing"):
        read_bundle(path)


@pytest.mark.parametrize("name", ["config.json", "bundle.json", "tokenizer.json"])
def test_refuses_what_is_no_json(make_bundle: Callable[..., Path], name: str) -> None:
    path = make_bundle()
    (path / name).write_text("{")

    with pytest.raises(SettingsError, match=f"{name}: .*JSON"):
        read_bundle(path)


@pytest.mark.parametrize(
    "labels",
    [
        ("joy", "sadness", *LABELS[2:]),
        LABELS[:5],
        (*LABELS, "disgust"),
        ("neutral", *LABELS),
        ("POSITIVE", "NEGATIVE"),
        (),
    ],
)
def test_refuses_other_labels(make_bundle: Callable[..., Path], labels: tuple[str, ...]) -> None:
    path = make_bundle()
    _edit(path / "config.json", id2label=dict(enumerate(labels)))

    with pytest.raises(
        SettingsError, match=r"config.json: id2label is .*it has to be sadness, joy"
    ):
        read_bundle(path)


@pytest.mark.parametrize(
    ("entry", "value"),
    [
        ("temperature", 0),
        ("temperature", -1.0),
        ("temperature", "1"),
        ("temperature", float("nan")),
        ("temperature", float("inf")),
        ("threshold", 1.5),
        ("threshold", None),
        ("languages", []),
        ("languages", "en"),
        ("max_length", 0),
        ("name", ""),
    ],
)
def test_refuses_a_bad_entry(make_bundle: Callable[..., Path], entry: str, value: Any) -> None:
    with pytest.raises(SettingsError, match=f"bundle.json: {entry}|bundle.json: .*JSON"):
        read_bundle(make_bundle(**{entry: value}))


def test_refuses_a_length_beyond_the_model_s_positions(make_bundle: Callable[..., Path]) -> None:
    with pytest.raises(SettingsError, match="max_length 65 is over the model's 64 positions"):
        read_bundle(make_bundle(max_length=65))


def test_refuses_a_model_of_many_labels_a_text(make_bundle: Callable[..., Path]) -> None:
    path = make_bundle()
    _edit(path / "config.json", problem_type="multi_label_classification")

    with pytest.raises(SettingsError, match=r"config.json: problem_type"):
        read_bundle(path)


def test_refuses_a_tokenizer_of_another_model(make_bundle: Callable[..., Path]) -> None:
    path = make_bundle()
    _edit(path / "config.json", vocab_size=20)

    with pytest.raises(SettingsError, match=r"tokenizer.json: has ids up to \d+, .*vocab_size 20"):
        read_bundle(path)


def _without(path: Path, token: str) -> None:
    tokenizer = json.loads(path.read_text())
    tokenizer["added_tokens"] = [
        one for one in tokenizer["added_tokens"] if one["content"] != token
    ]
    tokenizer["model"]["vocab"]["other"] = tokenizer["model"]["vocab"].pop(token)
    path.write_text(json.dumps(tokenizer))


def test_refuses_a_tokenizer_without_its_unknown_token(make_bundle: Callable[..., Path]) -> None:
    path = make_bundle()
    _without(path / "tokenizer.json", "[UNK]")

    with pytest.raises(SettingsError, match=r"tokenizer.json: names \[UNK\]"):
        read_bundle(path)


def test_refuses_a_tokenizer_without_padding(make_bundle: Callable[..., Path]) -> None:
    path = make_bundle()
    _without(path / "tokenizer.json", "[PAD]")
    _edit(path / "config.json", pad_token_id=None)

    with pytest.raises(SettingsError, match=r"tokenizer.json: has no padding token"):
        read_bundle(path)


@pytest.mark.parametrize("left", [0, 7, 200, -1])
def test_refuses_cut_weights(make_bundle: Callable[..., Path], left: int) -> None:
    path = make_bundle()
    weights = path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:left])

    with pytest.raises(SettingsError, match=r"model.safetensors: is no whole safetensors file"):
        read_bundle(path)


def test_refuses_weights_of_another_shape(make_bundle: Callable[..., Path]) -> None:
    path = make_bundle()
    weights = load_file(path / "model.safetensors")
    weights["classifier.weight"] = weights["classifier.weight"][:5].copy()
    save_file(weights, path / "model.safetensors", metadata={"format": "pt"})

    with pytest.raises(SettingsError, match=r"classifier.weight has shape \(5, 32\).*\(6, 32\)"):
        load_classifier(str(path), device="cpu")


def test_refuses_weights_without_a_head(make_bundle: Callable[..., Path]) -> None:
    path = make_bundle()
    weights = load_file(path / "model.safetensors")
    del weights["classifier.weight"]
    save_file(weights, path / "model.safetensors", metadata={"format": "pt"})

    with pytest.raises(SettingsError, match=r"model.safetensors: lacks classifier.weight"):
        load_classifier(str(path), device="cpu")


def test_refuses_an_architecture_that_nobody_knows(make_bundle: Callable[..., Path]) -> None:
    path = make_bundle()
    _edit(path / "config.json", model_type="no-such-model")

    with pytest.raises(SettingsError, match="cannot be loaded"):
        load_classifier(str(path), device="cpu")


def test_resolves_a_folder(tmp_path: Path) -> None:
    assert resolve_bundle(str(tmp_path)) == tmp_path


@pytest.mark.parametrize("model", ["/no/such/folder", "./nowhere", "../a", "nowhere", "a/b/c", ""])
def test_says_that_there_is_no_such_folder(model: str) -> None:
    with pytest.raises(SettingsError, match="no such folder"):
        resolve_bundle(model)


def test_refuses_a_file(tmp_path: Path) -> None:
    (tmp_path / "bundle").touch()

    with pytest.raises(SettingsError, match="is a file"):
        resolve_bundle(str(tmp_path / "bundle"))


def test_says_that_the_hub_cannot_be_reached(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants  # noqa: PLC0415

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))

    with pytest.raises(DependencyError, match=r"WORKER_MODEL=some/model: .*hub could not be"):
        resolve_bundle("some/model")
