"""A model bundle: found, read and checked before anything of it is loaded (no torch in here)."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError, safe_open

from worker.classifier.hub import download
from worker.errors import SettingsError
from worker.posts import LABELS

if TYPE_CHECKING:
    from collections.abc import Mapping

BUILTIN: Final = "builtin"
NEUTRAL: Final = "neutral"
WEIGHTS: Final = "model.safetensors"
TOKENIZER: Final = "tokenizer.json"
CONFIG: Final = "config.json"
BUNDLE: Final = "bundle.json"
_REQUIRED: Final = (CONFIG, WEIGHTS, TOKENIZER)
_DEFAULT_MAX_LENGTH: Final = 128
_FLOATS: Final = frozenset({"F16", "BF16", "F32", "F64"})
_File = TypeVar("_File", bound=BaseModel)
_HUB_ID: Final = re.compile(r"[\w.-]+/[\w.-]+")


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle whose files fit each other, as far as can be seen without loading the weights.

    Attributes:
        path: Its folder.
        name: Its name.
        version: Its version.
        sha256: Of the weights, tokenizer, config and `bundle.json`, hex: the model's identity.
        base: The encoder it was fine-tuned from.
        labels: The six emotions in order and, where the model has it, `neutral` as a seventh.
        metrics: Metrics by split.
        temperature: Probabilities are softmax(logits / temperature) (Guo et al. 2017).
        threshold: Calibrated confidence below which a text is `uncertain`.
        languages: BCP 47 primary subtags of the languages it knows.
        max_length: Tokens a text is cut to, special tokens included.
        pad_id: The id that fills the shorter rows of a batch.
        unknown_id: The id of pieces outside the vocabulary; None where every piece has an id.
    """

    path: Path
    name: str
    version: str
    sha256: str
    base: str
    labels: tuple[str, ...]
    metrics: Mapping[str, Any]
    temperature: float
    threshold: float
    languages: tuple[str, ...]
    max_length: int
    pad_id: int
    unknown_id: int | None


class _BundleFile(BaseModel):
    """`bundle.json`; keys that only people read are left alone."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True, allow_inf_nan=False)

    name: str = Field(min_length=1)
    version: str = Field(min_length=1)
    base: str = Field(min_length=1)
    metrics: dict[str, dict[str, Any]]
    temperature: float = Field(gt=0)
    threshold: float = Field(ge=0, le=1)
    languages: tuple[str, ...] = Field(min_length=1)
    max_length: int = Field(ge=4, le=100_000)


class _ConfigFile(BaseModel):
    """What is checked of `config.json`."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    id2label: dict[int, str]
    vocab_size: int | None = None
    max_position_embeddings: int | None = None
    pad_token_id: int | None = None
    problem_type: str | None = None


class _TokenizerModel(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)

    vocab: dict[str, int] | list[tuple[str, float]]
    unk_token: str | None = None
    unk_id: int | None = None

    def id_of(self, token: str) -> int | None:
        if isinstance(self.vocab, dict):
            return self.vocab.get(token)
        return next((id_ for id_, (piece, _) in enumerate(self.vocab) if piece == token), None)


class _AddedToken(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)

    id: int
    content: str


class _TokenizerFile(BaseModel):
    """What is checked of `tokenizer.json`."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    model: _TokenizerModel
    added_tokens: tuple[_AddedToken, ...] = ()
    truncation: dict[str, Any] | None = None
    padding: dict[str, Any] | None = None

    def id_of(self, token: str) -> int | None:
        added = next((one.id for one in self.added_tokens if one.content == token), None)
        return self.model.id_of(token) if added is None else added

    @property
    def size(self) -> int:
        """One more than the highest id."""
        vocab = self.model.vocab
        highest = max(vocab.values(), default=-1) if isinstance(vocab, dict) else len(vocab) - 1
        return max([highest, *(one.id for one in self.added_tokens)]) + 1


def resolve_bundle(model: str) -> Path:
    """Finds a bundle's folder.

    Args:
        model: `builtin`, a folder, or the id of a repository on the Hugging Face hub, `owner/name`,
            which is downloaded once and then found in the hub's cache.

    Raises:
        SettingsError: It is none of the three, or this installation lacks its model.
        DependencyError: The hub cannot be reached, or has no such model.
    """
    if model == BUILTIN:
        path = Path(str(files("worker") / "models" / BUILTIN))
        if not (path / WEIGHTS).is_file():
            raise SettingsError(
                f"WORKER_MODEL=builtin: this installation carries no model ({path / WEIGHTS} is "
                "missing). Install emotion-stream again, or set WORKER_MODEL to a bundle's folder."
            )
        return path
    path = Path(model).expanduser()
    if model and path.is_dir():
        return path
    if path.is_file():
        raise SettingsError(f"WORKER_MODEL={model}: is a file. Give the bundle's folder.")
    if _HUB_ID.fullmatch(model) is None or model.startswith("."):
        raise SettingsError(
            f"WORKER_MODEL={model}: there is no such folder, and it is no hub id (owner/name)."
        )
    return download(model, wanted=(*_REQUIRED, BUNDLE, "tokenizer_config.json"))


def read_bundle(path: Path) -> Bundle:
    """Reads and checks a bundle's folder; touches no network.

    A folder without `bundle.json` is taken as a plain Hugging Face model: temperature 1, threshold
    0, English, and the tokenizer's own maximal length, at most 128.

    Raises:
        SettingsError: Files are missing or broken or do not fit each other; it says which and why.
    """
    for name in _REQUIRED:
        if not (path / name).is_file():
            _refuse(path / name, "is missing")
    config = _read_json(path / CONFIG, _ConfigFile)
    labels = _check_labels(path, config)
    tokenizer = _read_json(path / TOKENIZER, _TokenizerFile)
    if config.vocab_size is not None and tokenizer.size > config.vocab_size:
        _refuse(
            path / TOKENIZER,
            f"has ids up to {tokenizer.size - 1}, but {CONFIG} says vocab_size {config.vocab_size}",
        )
    about = (
        _read_json(path / BUNDLE, _BundleFile)
        if (path / BUNDLE).is_file()
        else _plain(path, config, tokenizer)
    )
    limit = config.max_position_embeddings
    if limit is not None and about.max_length > limit:
        _refuse(
            path / BUNDLE, f"max_length {about.max_length} is over the model's {limit} positions"
        )
    _check_weights(path / WEIGHTS)
    return Bundle(
        path=path,
        name=about.name,
        version=about.version,
        sha256=_identity(path),
        base=about.base,
        labels=labels,
        metrics=about.metrics,
        temperature=about.temperature,
        threshold=about.threshold,
        languages=about.languages,
        max_length=about.max_length,
        pad_id=_pad_id(path, config, tokenizer),
        unknown_id=_unknown_id(path, tokenizer),
    )


def _refuse(file: Path, what: str) -> NoReturn:
    raise SettingsError(
        f"WORKER_MODEL: {file}: {what}. The bundle cannot be used: make or download it again."
    )


def _read_json(path: Path, form: type[_File]) -> _File:
    try:
        return form.model_validate_json(path.read_bytes())
    except OSError as error:
        _refuse(path, f"cannot be read: {error.strerror}")
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        _refuse(path, f"{where}: {first['msg']}" if where else first["msg"])


def _check_labels(path: Path, config: _ConfigFile) -> tuple[str, ...]:
    labels = tuple(config.id2label[index] for index in sorted(config.id2label))
    numbered = sorted(config.id2label) == list(range(len(labels)))
    if not numbered or labels not in (LABELS, (*LABELS, NEUTRAL)):
        _refuse(
            path / CONFIG,
            f"id2label is {', '.join(labels) or 'empty'}; it has to be {', '.join(LABELS)} in this "
            f"order, with {NEUTRAL} as a seventh or without",
        )
    if config.problem_type not in (None, "single_label_classification"):
        _refuse(path / CONFIG, f"problem_type is {config.problem_type}, not one label a text")
    return labels


def _check_weights(path: Path) -> None:
    try:
        with safe_open(path, framework="numpy") as weights:
            kinds = {str(weights.get_slice(key).get_dtype()) for key in weights.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        _refuse(path, f"is no whole safetensors file ({error})")
    if not kinds & _FLOATS:
        _refuse(path, "holds no floating-point weights")


def _pad_id(path: Path, config: _ConfigFile, tokenizer: _TokenizerFile) -> int:
    token = (tokenizer.padding or {}).get("pad_token", "[PAD]")
    found = tokenizer.id_of(token)
    if found is None:
        found = config.pad_token_id
    if found is None or not 0 <= found < tokenizer.size:
        _refuse(path / TOKENIZER, f"has no padding token ({token})")
    return found


def _unknown_id(path: Path, tokenizer: _TokenizerFile) -> int | None:
    model = tokenizer.model
    if model.unk_id is not None or model.unk_token is None:
        return model.unk_id
    found = tokenizer.id_of(model.unk_token)
    if found is None:
        _refuse(path / TOKENIZER, f"names {model.unk_token} for unknown words, but lacks it")
    return found


def _plain(path: Path, config: _ConfigFile, tokenizer: _TokenizerFile) -> _BundleFile:
    """What stands in for `bundle.json` in a folder that has none."""
    lengths = [
        _DEFAULT_MAX_LENGTH,
        config.max_position_embeddings,
        (tokenizer.truncation or {}).get("max_length"),
    ]
    other = path / "tokenizer_config.json"
    if other.is_file():
        try:
            lengths.append(json.loads(other.read_bytes()).get("model_max_length"))
        except (ValueError, AttributeError):
            _refuse(other, "is no JSON object")
    # Absent limits are written as null or as a number beyond any text.
    usable = [int(length) for length in lengths if isinstance(length, int | float) and length >= 4]
    name, version = _plain_name(path.resolve())
    return _BundleFile(
        name=name,
        version=version,
        base=name,
        metrics={},
        temperature=1.0,
        threshold=0.0,
        languages=("en",),
        max_length=min(usable),
    )


def _plain_name(path: Path) -> tuple[str, str]:
    """The hub id and revision where `path` lies in the hub's cache, else the folder's name."""
    if path.parent.name == "snapshots" and path.parent.parent.name.startswith("models--"):
        return path.parent.parent.name.removeprefix("models--").replace("--", "/"), path.name
    return path.name, "0"


def _identity(path: Path) -> str:
    identity = hashlib.sha256()
    for name in (WEIGHTS, TOKENIZER, CONFIG, BUNDLE):
        if (path / name).is_file():
            with (path / name).open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            identity.update(f"{name} {digest}\n".encode())
    return identity.hexdigest()
