from __future__ import annotations

import errno
import json
import math
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from safetensors import SafetensorError
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.nn import functional
from transformers import AutoModelForSequenceClassification, TrainingArguments

from trainer import data
from trainer import run as runs
from trainer.checkpoints import newest_whole
from trainer.evaluate import load, predict
from trainer.labels import UNLABELLED
from trainer.loop import FineTuner, TrainingError, balanced_weights
from trainer.sources import Corpus
from trainer.train import Job, train
from worker.errors import SettingsError

if TYPE_CHECKING:
    from pathlib import Path

    from transformers import PreTrainedTokenizerFast

    from trainer.recipe import Recipe
    from trainer.run import Run

QUICK = {"epochs": 1, "seeds": (2,), "logging_steps": 1}


@pytest.fixture
def job(recipe: Recipe, few_posts: Path, encoder: Path, tmp_path: Path) -> Job:
    quick = recipe.model_copy(update=QUICK)
    return Job(quick, Corpus(data.load(str(few_posts))), encoder, tmp_path / "run", (2,))


def _with(job: Job, **changes: Any) -> Job:
    recipe = job.recipe.model_copy(update=changes)
    return Job(recipe, job.corpus, job.encoder, job.output, job.seeds)


def _tuner(encoder: Path, tmp_path: Path, **changes: Any) -> Any:
    torch.manual_seed(1)
    model = AutoModelForSequenceClassification.from_pretrained(encoder, num_labels=6).eval()
    options = {
        "class_weights": None,
        "distillation_weight": 0.25,
        "distillation_temperature": 2.0,
        **changes,
    }
    arguments = TrainingArguments(
        output_dir=str(tmp_path), use_cpu=True, label_smoothing_factor=0.1, report_to=[]
    )
    return FineTuner(model=model, args=arguments, **options)


@pytest.fixture
def batch(encoder_tokenizer: PreTrainedTokenizerFast) -> dict[str, torch.Tensor]:
    texts = ["i feel merry", "so livid today and so very cross", "gloomy", "", "im scared today"]
    inputs = encoder_tokenizer(texts, padding=True, return_tensors="pt")
    # Emoji are not in this model's vocabulary; these texts have none.
    return {**inputs, "labels": torch.tensor([1, 3, 0, 2, 4])}


def test_a_batch_in_chunks_has_the_same_loss_and_gradients(
    encoder: Path, tmp_path: Path, batch: dict[str, torch.Tensor]
) -> None:
    found = []
    for chunks in (1, 3):
        tuner = _tuner(encoder, tmp_path, chunks=chunks)
        loss, outputs = tuner.compute_loss(tuner.model, batch, return_outputs=True)
        loss.backward()
        gradient = tuner.model.classifier.weight.grad
        found.append((loss.detach(), outputs["logits"].detach(), gradient))
    for one, three in zip(*found, strict=True):
        assert torch.allclose(one, three, atol=1e-5)


def test_the_loss_is_weighted_cross_entropy_plus_soft_targets(
    encoder: Path, tmp_path: Path, batch: dict[str, torch.Tensor]
) -> None:
    weights = torch.tensor([1.0, 2.0, 1.0, 1.0, 0.5, 3.0])
    tuner = _tuner(encoder, tmp_path, class_weights=weights)
    teacher = torch.rand(5, 6).softmax(dim=-1)
    loss, outputs = tuner.compute_loss(
        tuner.model, {**batch, "teacher": teacher}, return_outputs=True
    )
    logits = outputs["logits"]
    hard = functional.cross_entropy(logits, batch["labels"], weight=weights, label_smoothing=0.1)
    at_two = (teacher.log() / 2).softmax(dim=-1)
    soft = (at_two * (at_two.log() - (logits / 2).log_softmax(dim=-1))).sum(dim=-1).mean()
    assert loss.item() == pytest.approx((0.75 * hard + 0.25 * 4 * soft).item(), rel=1e-5)


def test_posts_without_a_label_have_soft_targets_alone(
    encoder: Path, tmp_path: Path, batch: dict[str, torch.Tensor]
) -> None:
    tuner = _tuner(encoder, tmp_path)
    teacher = torch.rand(5, 6).softmax(dim=-1)
    some = {**batch, "labels": torch.tensor([1, 3, UNLABELLED, 2, UNLABELLED])}
    loss, outputs = tuner.compute_loss(
        tuner.model, {**some, "teacher": teacher}, return_outputs=True
    )
    logits = outputs["logits"]
    known = torch.tensor([0, 1, 3])
    hard = functional.cross_entropy(logits[known], some["labels"][known], label_smoothing=0.1)
    at_two = (teacher.log() / 2).softmax(dim=-1)
    soft = (at_two * (at_two.log() - (logits / 2).log_softmax(dim=-1))).sum(dim=-1).mean()
    assert loss.item() == pytest.approx((0.75 * hard + 0.25 * 4 * soft).item(), rel=1e-5)
    none = {**batch, "labels": torch.full((5,), UNLABELLED), "teacher": teacher}
    assert tuner.compute_loss(tuner.model, none).item() == pytest.approx(soft.item(), rel=1e-5)
    assert balanced_weights((0, 0, 0, 1, UNLABELLED), 2).tolist() == pytest.approx([4 / 6, 2.0])


def test_balanced_weights_make_labels_equal() -> None:
    weights = balanced_weights((0, 0, 0, 1), 2)
    assert weights.tolist() == pytest.approx([4 / 6, 2.0])
    assert 3 * weights[0] == pytest.approx(float(weights[1]))


def test_class_weights_help_a_rare_label(recipe: Recipe, encoder: Path, tmp_path: Path) -> None:
    lines = ["i feel merry today;joy"] * 26 + ["i feel gloomy today;sadness"] * 2
    lines += [f"i feel {w} today;{e}" for w, e in (("fond", "love"), ("livid", "anger"))]
    lines += [f"i feel {w} today;{e}" for w, e in (("afraid", "fear"), ("amazed", "surprise"))]
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "train.txt").write_text("\n".join(lines))
    (folder / "val.txt").write_text("i feel gloomy today;sadness\ni feel livid today;anger\n")
    scores = {}
    for weights in ("none", "balanced"):
        quick = recipe.model_copy(
            update={"epochs": 2, "class_weights": weights, "learning_rate": 1e-3}
        )
        corpus = Corpus(data.load(str(folder)))
        run = train(Job(quick, corpus, encoder, tmp_path / weights, (1,)), say=lambda _: None)
        scores[weights] = run.chosen.val["loss"]
    assert scores["balanced"] < scores["none"]


def test_a_loss_that_is_no_number_ends_training(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    def spoiled(*_: Any, **__: Any) -> torch.Tensor:
        return torch.tensor(math.nan, requires_grad=True)

    monkeypatch.setattr("trainer.loop.functional.cross_entropy", spoiled)
    with pytest.raises(TrainingError, match=r"loss is nan at step \d+.*learning_rate"):
        train(job, say=lambda _: None)
    assert not job.output.joinpath("seed-2").exists()
    assert runs.load(job.output).remaining == (2,)


@pytest.mark.parametrize(
    ("where", "error"),
    [
        ("model", OSError(errno.ENOSPC, "No space left on device")),
        ("model", SafetensorError("I/O error: No space left on device (os error 28)")),
        (
            "checkpoint",
            RuntimeError("inline_container.cc:603: PytorchStreamWriter failed"),
        ),
    ],
)
def test_a_full_disk_is_said_and_leaves_no_half_model(
    job: Job, monkeypatch: pytest.MonkeyPatch, error: Exception, where: str
) -> None:
    def full(*arguments: Any, **_: Any) -> None:
        if where == "model":
            arguments[-1].mkdir(parents=True)
            (arguments[-1] / "model.safetensors").write_text("half")
        raise error

    target = (
        "trainer.train._save" if where == "model" else "trainer.loop.FineTuner._save_checkpoint"
    )
    monkeypatch.setattr(target, full)
    with pytest.raises(TrainingError, match=r"disk is full.*--resume"):
        train(job, say=lambda _: None)
    left = {entry.name for entry in job.output.iterdir()}
    assert left <= {"run.json", "recipe.json", "data.json", "checkpoints"}


def test_another_error_stays_what_it_is(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr("trainer.train._save", broken)
    with pytest.raises(RuntimeError, match="a bug"):
        train(job, say=lambda _: None)


def test_early_stopping_keeps_the_best_epoch(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    told = iter([0.5, 0.9, 0.4, 0.3, 0.2, 0.1])
    monkeypatch.setattr(
        "trainer.train._compute_metrics", lambda _: {"accuracy": next(told), "macro_f1": 0.0}
    )
    run = train(_with(job, epochs=6, early_stopping=2), say=lambda _: None)
    checkpoints = job.output / "checkpoints" / "seed-2"
    kept = {int(path.name.split("-")[1]) for path in checkpoints.iterdir()}
    assert max(kept) == 4 * 3, "the fourth epoch was the last"
    best = load(str(checkpoints / "checkpoint-6"))
    chosen = load(str(run.folder))
    texts = ["i feel merry today", "so livid"]
    logits = [predict(m.network, m.tokenizer, texts, max_length=12) for m in (best, chosen)]
    assert np.allclose(logits[0], logits[1], atol=1e-6)


def test_tensorboard_shows_loss_accuracy_f1_and_learning_rate(
    job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TENSORBOARD_LOGGING_DIR", raising=False)
    train(_with(job, logging_dir="./logs"), say=lambda _: None)
    folder = tmp_path / "logs" / "run-seed-2"
    shown = EventAccumulator(str(folder)).Reload().Tags()["scalars"]
    assert {"train/loss", "train/learning_rate", "eval/accuracy", "eval/macro_f1"} <= set(shown)
    log = json.loads(
        (job.output / "checkpoints" / "seed-2" / "checkpoint-3" / "trainer_state.json").read_text()
    )["log_history"]
    assert [entry["step"] for entry in log if "learning_rate" in entry] == [1, 2, 3]


def test_a_cut_checkpoint_is_passed_over(run: Run, tmp_path: Path) -> None:
    source = next((run.folder / "checkpoints" / "seed-2").iterdir())
    for step in (30, 60, 90, 120):
        shutil.copytree(source, tmp_path / f"checkpoint-{step}")
    said: list[str] = []
    for step, name in (
        (120, "trainer_state.json"),
        (90, "model.safetensors"),
        (60, "optimizer.pt"),
    ):
        assert newest_whole(tmp_path, say=said.append) == tmp_path / f"checkpoint-{step}"
        path = tmp_path / f"checkpoint-{step}" / name
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    said.clear()
    assert newest_whole(tmp_path, say=said.append) == tmp_path / "checkpoint-30"
    assert len(said) == 3
    assert all("cut short" in line for line in said)
    (tmp_path / "checkpoint-30" / "model.safetensors").unlink()
    assert newest_whole(tmp_path, say=said.append) is None
    assert newest_whole(tmp_path / "nowhere", say=said.append) is None


def test_a_run_resumed_after_its_last_seed_trains_nothing(
    run: Run, recipe: Recipe, posts: Path, encoder: Path
) -> None:
    job = Job(recipe, Corpus(data.load(str(posts))), encoder, run.folder, (2, 3), resume=True)
    assert train(job, say=lambda _: None) == run


def test_other_data_or_another_encoder_resumes_nothing(
    run: Run, recipe: Recipe, posts: Path, encoder: Path, tmp_path: Path
) -> None:
    other = tmp_path / "data"
    shutil.copytree(posts, other)
    (other / "train.txt").write_text((other / "train.txt").read_text() + "merry;joy\n")
    job = Job(recipe, Corpus(data.load(str(other))), encoder, run.folder, (2, 3), resume=True)
    with pytest.raises(SettingsError, match="fingerprint differs"):
        train(job, say=lambda _: None)
    changed = tmp_path / "encoder"
    shutil.copytree(encoder, changed)
    weights = changed / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    job = Job(recipe, Corpus(data.load(str(posts))), changed, run.folder, (2, 3), resume=True)
    with pytest.raises(SettingsError, match="not the encoder"):
        train(job, say=lambda _: None)


def test_a_label_that_no_post_has_is_refused(job: Job, tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text("merry;joy\nlivid;anger\n")
    (tmp_path / "val.txt").write_text("merry;joy\n")
    lacking = Job(job.recipe, Corpus(data.load(str(tmp_path))), job.encoder, tmp_path / "run", (1,))
    with pytest.raises(SettingsError, match="labelled sadness or love or fear or surprise"):
        train(lacking, say=lambda _: None)
    assert not (tmp_path / "run").exists()


def test_a_cut_encoder_is_said(job: Job, tmp_path: Path) -> None:
    folder = tmp_path / "encoder"
    shutil.copytree(job.encoder, folder)
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    broken = Job(job.recipe, job.corpus, folder, tmp_path / "run", (1,))
    with pytest.raises(SettingsError, match=r"--base .*cannot be loaded"):
        train(broken, say=lambda _: None)


def test_a_students_teachers_are_recorded_and_have_its_outputs(job: Job, run: Run) -> None:
    taught = Job(
        job.recipe.model_copy(update={"distillation_weight": 1.0, "epochs": 12}),
        job.corpus,
        job.encoder,
        job.output,
        (2,),
        teachers=(str(run.folder), str(run.model_folder(3))),
    )
    student = train(taught, say=lambda _: None)
    assert [teacher["place"] for teacher in student.teachers] == list(taught.teachers)
    assert runs.load(job.output) == student
    assert student.chosen.val["accuracy"] > 0.9, "it never saw a label but through its teachers"
