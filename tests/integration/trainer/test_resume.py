"""A run that is killed, and several processes that train together."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from trainer import run as runs
from trainer.cli import app
from trainer.recipe import Recipe
from worker.posts import LABELS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# The processes import torch and transformers first: ten seconds of a core each.
pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
WORDS = ("gloomy", "merry", "fond", "livid", "afraid", "amazed")


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `encoder`, `data` and `recipe.json`, all tiny."""
    folder = tmp_path_factory.mktemp("material")
    words = [*SPECIAL, "i", "feel", "today", *WORDS]
    backend = Tokenizer(models.WordPiece({w: i for i, w in enumerate(words)}, unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer()
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=backend, unk_token="[UNK]", pad_token="[PAD]", cls_token="[CLS]"
    ).save_pretrained(folder / "encoder")
    torch.manual_seed(7)
    BertModel(
        BertConfig(
            vocab_size=len(words),
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=32,
            max_position_embeddings=16,
        )
    ).save_pretrained(folder / "encoder")
    (folder / "data").mkdir()
    lines = [f"i feel {word} today;{label}" for word, label in zip(WORDS, LABELS, strict=True)]
    (folder / "data" / "train.txt").write_text("\n".join(lines * 4))
    (folder / "data" / "val.txt").write_text("\n".join(lines))
    # Changed posts, dropout and accumulation: all that a resumed run has to bring back.
    recipe = Recipe.model_validate(
        {
            "name": "tiny",
            "base": "someone/tiny",
            "dataset": "someone/posts",
            "max_length": 12,
            "tokenize_processes": 1,
            "seeds": [5],
            "learning_rate": 1e-3,
            "batch_size": 4,
            "accumulation_steps": 2,
            "epochs": 12,
            "emoji": False,
            "augment": {"typo": 0.5},
            "precision": "fp32",
            # Three steps an epoch: most of these lie within one.
            "checkpoint_steps": 4,
            "group_by_length": False,
            "checkpoints_kept": 3,
        }
    )
    (folder / "recipe.json").write_text(recipe.model_dump_json())
    return folder


def _command(material: Path, *arguments: str) -> list[str]:
    trainer = "from trainer.cli import main; main()"
    where = ("--data", str(material / "data"), "--base", str(material / "encoder"))
    return [sys.executable, "-c", trainer, "train", *where, *arguments]


def _environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}


def _wait(condition: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 200
    while not condition():
        assert process.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_a_killed_run_resumed_ends_as_one_that_was_not(
    material: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = ("--recipe", str(material / "recipe.json"))
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    process = subprocess.Popen(
        _command(material, *recipe, "--output", str(killed)),
        env=_environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        checkpoints = killed / "checkpoints" / "seed-5"
        # With a second one begun, the first is whole, however the kill cuts the second.
        _wait(lambda: len(list(checkpoints.glob("checkpoint-*"))) > 1, process)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert runs.load(killed).remaining == (5,)
    assert not (killed / "seed-5").exists()
    where = _command(material)[3:]
    app.main([*where, *recipe, "--output", str(whole)], standalone_mode=False)
    capsys.readouterr()
    app.main([*where, "--resume", str(killed)], standalone_mode=False)
    assert "seed 5: resumed from checkpoint-" in capsys.readouterr().err
    one, two = (load_file(folder / "seed-5" / "model.safetensors") for folder in (whole, killed))
    assert one.keys() == two.keys()
    for name, tensor in one.items():
        assert torch.equal(tensor, two[name]), name
    assert runs.load(killed).seeds[0].val == runs.load(whole).seeds[0].val


@pytest.mark.slow
def test_two_processes_make_one_run(material: Path, tmp_path: Path) -> None:
    recipe = Recipe.model_validate_json((material / "recipe.json").read_text())
    short = tmp_path / "short.json"
    short.write_text(recipe.model_copy(update={"epochs": 2}).model_dump_json())
    script = tmp_path / "go.py"
    script.write_text("from trainer.cli import main\nmain()\n")
    arguments = _command(material, "--recipe", str(short), "--output", str(tmp_path / "run"))[3:]
    launch = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    done = subprocess.run(
        [sys.executable, *launch, str(script), *arguments],
        env=_environment() | {"PYTHONPATH": str(Path(__file__).parents[3])},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    run = runs.load(tmp_path / "run")
    assert [result.seed for result in run.seeds] == [5]
    assert done.stdout.count("chosen on validation: seed 5 of 1") == 1
    state = (tmp_path / "run" / "checkpoints" / "seed-5").glob("checkpoint-*")
    # 24 posts in batches of four on two processes, two to a step: two steps an epoch.
    assert max(int(path.name.split("-")[1]) for path in state) == 4
