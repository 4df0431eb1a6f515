"""Tiny randomly initialised bundles: what they say means nothing, how they say it is tested."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest
import torch
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertForSequenceClassification

from worker.classifier.bundle import read_bundle
from worker.classifier.hardware import Hardware
from worker.classifier.interface import BatchPolicy
from worker.classifier.transformer import TransformerClassifier
from worker.posts import LABELS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

MAX_LENGTH = 16
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
WORDS = ("feel", "happy", "sad", "so", "the")
PUNCTUATION = ".,!?-"


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    """Tiny tensors cost far more in threads than in arithmetic."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def _tokenizer() -> Tokenizer:
    pieces = [*SPECIAL, *PUNCTUATION, *LETTERS, *(f"##{one}" for one in LETTERS), *WORDS]
    vocab = {piece: id_ for id_, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.WordPiece(vocab, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Sequence(
        [
            normalizers.Replace(Regex(r"https?://\S*|@\w+"), " "),
            normalizers.BertNormalizer(),
        ]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        special_tokens=[(token, vocab[token]) for token in ("[CLS]", "[SEP]")],
    )
    tokenizer.add_special_tokens(list(SPECIAL))
    return tokenizer


def _about() -> dict[str, Any]:
    return {
        "name": "tiny",
        "version": "1.2.3",
        "base": "nothing",
        "dataset": {"fingerprint": "0"},
        "recipe": {"name": "tiny"},
        "metrics": {"test": {"accuracy": 0.5}},
        "temperature": 0.8,
        "threshold": 0.1,
        "languages": ["en"],
        "max_length": MAX_LENGTH,
        "git_revision": "0",
    }


@pytest.fixture(scope="session")
def _models(tmp_path_factory: pytest.TempPathFactory) -> Mapping[int, Path]:
    """A saved model by its number of outputs."""
    tokenizer = _tokenizer()
    folders = {}
    for outputs in (6, 7):
        folder = tmp_path_factory.mktemp("bundle") / "tiny"
        torch.manual_seed(outputs)
        config = BertConfig(
            vocab_size=tokenizer.get_vocab_size(),
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=64,
            max_position_embeddings=64,
            # Far from uniform, so that a mistake shows.
            initializer_range=0.5,
            id2label=dict(enumerate([*LABELS, "neutral"][:outputs])),
        )
        network = BertForSequenceClassification(config)
        torch.nn.Module.to(network, torch.float16)
        network.save_pretrained(folder)
        tokenizer.save(str(folder / "tokenizer.json"))
        folders[outputs] = folder
    return folders


@pytest.fixture
def make_bundle(_models: Mapping[int, Path], tmp_path: Path) -> Callable[..., Path]:
    """Makes a bundle's folder: `make_bundle(outputs=7, temperature=2.0)`.

    Keywords override entries of `bundle.json`; `about=None` leaves the file out.
    """
    made = 0

    def make(outputs: int = 6, about: Mapping[str, Any] | None = (), **entries: Any) -> Path:  # type: ignore[assignment]
        nonlocal made
        made += 1
        folder = tmp_path / f"bundle-{made}"
        shutil.copytree(_models[outputs], folder)
        if about is not None:
            content = json.dumps(_about() | dict(about) | entries)
            (folder / "bundle.json").write_text(content, encoding="utf-8")
        return folder

    return make


@pytest.fixture
def make_classifier(make_bundle: Callable[..., Path]) -> Callable[..., TransformerClassifier]:
    """Loads a tiny model in fp32 on the CPU: `make_classifier(path, remembered=0)`."""

    def make(
        path: Path | None = None,
        *,
        threshold: float | None = None,
        remembered: int = 1000,
        chunk_tokens: int = 64,
        multiple: int = 1,
        dtype: torch.dtype = torch.float32,
    ) -> TransformerClassifier:
        bundle = read_bundle(path or make_bundle())
        hardware = Hardware(
            device=torch.device("cpu"),
            dtype=dtype,
            policy=BatchPolicy(tokens=4096, posts=128, linger_s=0.1),
            chunk_tokens=chunk_tokens,
            multiple=multiple,
        )
        return TransformerClassifier(
            bundle,
            hardware,
            threshold=bundle.threshold if threshold is None else threshold,
            languages=bundle.languages,
            remembered=remembered,
        )

    return make
