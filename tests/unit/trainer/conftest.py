from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from trainer import data
from trainer.encoder import sha256
from trainer.recipe import Recipe
from trainer.sources import Corpus
from trainer.text import make_tokenizer
from trainer.train import Job, train
from worker.posts import LABELS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from trainer.run import Run

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
# Each label has words of its own, so that a tiny model learns it in a few steps.
WORDS = {
    "sadness": ("gloomy", "lonely", "weepy"),
    "joy": ("cheerful", "merry", "jolly"),
    "love": ("tender", "fond", "adoring"),
    "anger": ("furious", "cross", "livid"),
    "fear": ("scared", "afraid", "uneasy"),
    "surprise": ("amazed", "stunned", "startled"),
}
FILLERS = ("i", "feel", "so", "very", "today", "and", "didnt", "im")


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    """Tiny tensors cost far more in threads than in arithmetic."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT encoder as a package would carry it: two layers of 32, random weights."""
    folder = tmp_path_factory.mktemp("encoder")
    words = [*SPECIAL, *FILLERS, *(word for label in LABELS for word in WORDS[label])]
    backend = Tokenizer(models.WordPiece({w: i for i, w in enumerate(words)}, unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer()
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=backend,
        unk_token="[UNK]",
        sep_token="[SEP]",
        pad_token="[PAD]",
        cls_token="[CLS]",
        mask_token="[MASK]",
    ).save_pretrained(folder)
    torch.manual_seed(7)
    BertModel(
        BertConfig(
            vocab_size=len(words),
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=64,
            max_position_embeddings=64,
            pad_token_id=0,
            initializer_range=0.1,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
        )
    ).save_pretrained(folder)
    return folder


def write_posts(folder: Path, rounds: dict[str, int]) -> Path:
    """A data set of `text;label` files; val.txt has blank lines, as the real one has."""
    for number, (name, turns) in enumerate(rounds.items()):
        lines = []
        for turn in range(turns):
            for label in LABELS:
                word = WORDS[label][(turn + number) % 3]
                filler = FILLERS[(turn * 5 + number) % len(FILLERS)]
                lines.append(f"i feel {filler} {word} today;{label}")
        if name == "val":
            lines = ["", *lines, ""]
        (folder / f"{name}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def posts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """240 posts to train on, 24 for each of the others."""
    return write_posts(tmp_path_factory.mktemp("data"), {"train": 40, "val": 4, "test": 4})


@pytest.fixture(scope="session")
def few_posts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 posts to train on (three steps of eight), six for validation."""
    return write_posts(tmp_path_factory.mktemp("few"), {"train": 4, "val": 1})


@pytest.fixture(scope="session")
def recipe(posts: Path, encoder: Path) -> Recipe:
    """A recipe that teaches the tiny encoder in about a second."""
    return Recipe(
        name="tiny",
        version="3",
        base="someone/tiny",
        base_sha256=sha256(encoder),
        dataset="someone/posts",
        dataset_fingerprint=data.load(str(posts)).fingerprint(),
        dataset_terms="for tests only",
        languages=("en", "de"),
        limitations=("Knows eighteen words.",),
        max_length=12,
        tokenize_processes=1,
        seeds=(2, 3),
        learning_rate=4e-3,
        batch_size=8,
        epochs=3,
        precision="fp32",
    )


@pytest.fixture(scope="session")
def run(
    recipe: Recipe, posts: Path, encoder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Run:
    """A finished run of two seeds. Tests must not change its folder."""
    job = Job(
        recipe=recipe,
        corpus=Corpus(data.load(str(posts))),
        encoder=encoder,
        output=tmp_path_factory.mktemp("runs") / "tiny",
        seeds=recipe.seeds,
    )
    return train(job, say=lambda _: None)


@pytest.fixture(scope="session")
def encoder_tokenizer(encoder: Path) -> PreTrainedTokenizerFast:
    """The tiny encoder's tokenizer with our clean-up and emoji."""
    return make_tokenizer(encoder, 16)
