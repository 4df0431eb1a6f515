from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import TrainingArguments

from trainer import recipe as recipes
from trainer.arguments import training_arguments
from worker.errors import SettingsError


def test_the_trainer_comes_with_the_reference_and_builtin() -> None:
    assert {"builtin", "reference"} <= set(recipes.builtin_names())
    for name in recipes.builtin_names():
        assert recipes.load(name).name == name


def test_reference_resolves_to_the_model_cards_arguments() -> None:
    recipe = recipes.load("reference")
    arguments = training_arguments(recipe, output=Path("run"), seed=42, cuda=False)
    expected = {
        "learning_rate": 6e-5,
        "per_device_train_batch_size": 16,
        "gradient_accumulation_steps": 2,
        "per_device_eval_batch_size": 32,
        "num_train_epochs": 2,
        "weight_decay": 0.01,
        "warmup_steps": 0,
        "label_smoothing_factor": 0,
        "lr_scheduler_type": "linear",
        "fp16": False,
        "bf16": False,
        "eval_strategy": "epoch",
        "save_strategy": "epoch",
        "save_total_limit": 2,
        "logging_strategy": "steps",
        "logging_steps": 10,
        "report_to": ["tensorboard"],
        "metric_for_best_model": "accuracy",
        "train_sampling_strategy": "random",
        "seed": 42,
    }
    assert {name: getattr(arguments, name) for name in expected} == expected


def test_reference_leaves_every_other_argument_as_transformers_has_it() -> None:
    arguments = training_arguments(
        recipes.load("reference"), output=Path("run"), seed=42, cuda=False
    )
    usual: dict[str, Any] = TrainingArguments(  # type: ignore[no-untyped-call]
        output_dir="run",
        learning_rate=6e-5,
        per_device_train_batch_size=16,
        gradient_accumulation_steps=2,
        per_device_eval_batch_size=32,
        num_train_epochs=2,
        weight_decay=0.01,
        eval_strategy="epoch",
        save_strategy="epoch",
        save_total_limit=2,
        logging_steps=10,
        metric_for_best_model="accuracy",
        report_to=["tensorboard"],
        use_cpu=True,
    ).to_dict()
    found: dict[str, Any] = arguments.to_dict()  # type: ignore[no-untyped-call]
    different = {name for name in usual if usual[name] != found[name]}
    # None of these changes a weight.
    assert different <= {"dataloader_pin_memory", "logging_nan_inf_filter", "remove_unused_columns"}


def test_mixed_is_bf16_where_the_hardware_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainer.arguments.TrainingArguments", SimpleNamespace)
    recipe = recipes.load("large")
    for dtype, cuda, expected in (
        (torch.bfloat16, True, (False, True)),
        (torch.float32, True, (True, False)),
        (torch.bfloat16, False, (False, True)),
        (torch.float32, False, (False, False)),
    ):
        hardware = SimpleNamespace(dtype=dtype)
        monkeypatch.setattr("trainer.arguments.choose_hardware", lambda _, found=hardware: found)
        arguments = training_arguments(recipe, output=Path("run"), seed=1, cuda=cuda)
        assert (arguments.fp16, arguments.bf16) == expected


def test_reference_uses_native_mixed_precision_on_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    # The real arguments check the hardware of the machine they are made on.
    monkeypatch.setattr("trainer.arguments.TrainingArguments", SimpleNamespace)
    recipe = recipes.load("reference")
    arguments = training_arguments(recipe, output=Path("run"), seed=42, cuda=True)
    assert (arguments.fp16, arguments.bf16, arguments.use_cpu) == (True, False, False)


def test_reference_has_the_model_cards_data_and_text_settings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recipe = recipes.load("reference")
    assert recipe.base.endswith("distilbert-base-uncased")
    assert recipe.dataset == "dair-ai/emotion"
    assert (recipe.max_length, recipe.padding) == (32, "max_length")
    assert recipe.logging_dir == "./logs"
    monkeypatch.setattr("os.cpu_count", lambda: 8)
    assert recipe.processes() == 7
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    assert recipe.processes() == 1


def test_a_runs_recipe_can_be_used_again(tmp_path: Path) -> None:
    recipe = recipes.load("builtin")
    path = tmp_path / "recipe.json"
    path.write_text(json.dumps(recipe.model_dump(mode="json")))
    assert recipes.load(str(path)) == recipe


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('name = "x"\nbase = "b/b"\ndataset = "d/d"\nlearning_rate = -1', "learning_rate: "),
        ('name = "x"\nbase = "b/b"\ndataset = "d/d"', "learning_rate: Field required"),
        ('name = "x"\nlr = 1', "lr: Extra inputs"),
        ("name = ", "cannot be read"),
        (
            'name="x"\nbase="b"\ndataset="d"\nlearning_rate=1\nearly_stopping=1\ncheckpoint_steps=5',
            "early_stopping needs a checkpoint each epoch",
        ),
        (
            'name="x"\nbase="b"\ndataset="d"\nlearning_rate=1\ncheckpoint_steps=5',
            "checkpoint_steps needs group_by_length = false",
        ),
    ],
)
def test_a_wrong_recipe_file_is_refused(tmp_path: Path, content: str, words: str) -> None:
    path = tmp_path / "mine.toml"
    if "Extra" in words:
        content += '\nbase = "b/b"\ndataset = "d/d"\nlearning_rate = 1e-4'
    path.write_text(content)
    with pytest.raises(SettingsError) as caught:
        recipes.load(str(path))
    assert words in str(caught.value)
    assert str(path) in str(caught.value)


def test_an_unknown_recipe_lists_those_there_are() -> None:
    with pytest.raises(SettingsError, match=r"builtin, .*large, reference"):
        recipes.load("nonsense")


def test_every_field_has_a_docstring() -> None:
    bare = [name for name, field in recipes.Recipe.model_fields.items() if not field.description]
    assert not bare


def test_a_recipe_extends_another(tmp_path: Path) -> None:
    base = recipes.load("builtin")
    mine = tmp_path / "mine.toml"
    mine.write_text(
        'extends = "builtin"\nname = "mine"\n[augment]\ntypo = 0.9\n'
        '[[sources]]\nname = "goemotions"\nterms = "ask"\n'
        '[[sources]]\nname = "more"\n'
    )
    found = recipes.load(str(mine))
    assert found.name == "mine"
    assert found.learning_rate == base.learning_rate
    assert found.augment == base.augment.model_copy(update={"typo": 0.9})
    assert [one.name for one in found.sources] == ["goemotions", "more"]
    assert found.sources[0] == base.sources[0].model_copy(update={"terms": "ask"})
    none = tmp_path / "none.json"
    none.write_text(json.dumps({"extends": str(mine), "name": "none", "sources": []}))
    assert recipes.load(str(none)).sources == ()


def test_a_recipe_that_extends_itself_is_refused(tmp_path: Path) -> None:
    one, two = tmp_path / "one.toml", tmp_path / "two.toml"
    one.write_text(f'extends = "{two}"\nname = "one"\n')
    two.write_text(f'extends = "{one}"\nname = "two"\n')
    with pytest.raises(SettingsError, match=r"one\.toml: extends itself, by .*two\.toml"):
        recipes.load(str(one))


def test_each_teacher_of_builtin_is_what_it_says() -> None:
    first, second, third = (recipes.load(f"builtin-teacher-{n}") for n in (1, 2, 3))
    assert not first.neutral
    assert first.sources == ()
    assert (second.augment.typo, third.augment.typo) == (0.3, 0.5)
    limits = [one.sources[0].at_most["neutral"] for one in (second, third)]
    assert limits == [6000, 10000]
    assert second.crossed_posts == third.crossed_posts == 0
    assert {one.base for one in (first, second, third)} == {recipes.load("builtin").base}
