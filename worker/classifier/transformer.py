"""The classifier proper: a fine-tuned Hugging Face encoder, on a CPU or a GPU."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from transformers import AutoModelForSequenceClassification
from transformers.utils import logging as reports

from worker.classifier.bundle import WEIGHTS
from worker.classifier.cache import LabelCache
from worker.classifier.calibration import calibrate
from worker.classifier.chunks import Chunk, next_chunk
from worker.classifier.content import EMPTY, FOREIGN, Languages
from worker.classifier.interface import BatchPolicy, ModelInfo, Text
from worker.classifier.tokenizing import TextTokenizer, ids_of
from worker.errors import ClassifierError, SettingsError, WorkerError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray
    from transformers import PreTrainedModel

    from worker.classifier.bundle import Bundle
    from worker.classifier.hardware import Hardware
    from worker.posts import Label, Unlabelled

_REMEMBERED: Final = 50_000
_ROWS: Final = 8
"""Forward passes have a multiple of this many rows, if there is the memory for it."""


class TransformerClassifier:
    """Labels texts with a bundle's model. One thread uses it.

    A text without content is `empty`; else, one in a language that the model does not know is
    `language`; else it gets a label. Texts with the same token ids are scored once, and remembered.

    In 16-bit arithmetic the sums depend a little on a forward pass's shape, so a text's scores may
    differ with the texts that it is scored with (bf16, 600 posts: by 0.00001 on average, 0.002 at
    most).
    """

    def __init__(
        self,
        bundle: Bundle,
        hardware: Hardware,
        *,
        threshold: float,
        languages: Sequence[str],
        remembered: int = _REMEMBERED,
    ) -> None:
        """Loads the model; touches no network and prints nothing.

        Args:
            bundle: What to load.
            hardware: Where, and in what.
            threshold: Calibrated confidence below which a text is `uncertain`.
            languages: Those that are labelled; a tag's primary subtag counts.
            remembered: Labels kept for texts that come again.

        Raises:
            SettingsError: The weights do not fit the config, or the tokenizer cannot be read.
        """
        self._bundle = bundle
        self._hardware = hardware
        self._threshold = threshold
        self._languages = Languages(languages)
        self._chunk_tokens = min(hardware.chunk_tokens, hardware.policy.tokens)
        self._cache = LabelCache(remembered)
        self._passed: Callable[[], object] = lambda: None
        self._tokenizer = TextTokenizer(bundle)
        self._model = _load(bundle, hardware)
        self._info = ModelInfo(
            name=bundle.name,
            version=bundle.version,
            sha256=bundle.sha256,
            base=bundle.base,
            labels=bundle.labels,
            metrics=bundle.metrics,
            device=str(hardware),
        )

    @property
    def info(self) -> ModelInfo:
        """What was loaded, and where it runs."""
        return self._info

    @property
    def policy(self) -> BatchPolicy:
        """The micro-batch policy that suits the device."""
        return self._hardware.policy

    def watch(self, passed: Callable[[], object]) -> None:
        """See `Classifier.watch`."""
        self._passed = passed

    def classify(self, texts: Sequence[Text]) -> list[Label | Unlabelled]:
        """Labels `texts`; the answer has their length and order.

        Raises:
            ClassifierError: The model failed on these texts; one of them may be to blame.
        """
        keys = self._tokenizer.encode([text.text for text in texts])
        known = [self._languages.knows(text.lang) for text in texts]
        labels = self._label(
            {key for key, knows in zip(keys, known, strict=True) if key is not None and knows}
        )
        return [
            EMPTY if key is None else labels[key] if knows else FOREIGN
            for key, knows in zip(keys, known, strict=True)
        ]

    def _label(self, keys: set[bytes]) -> dict[bytes, Label]:
        labels = {key: label for key in keys if (label := self._cache.get(key)) is not None}
        # By length for little padding, then by value: the chunks depend on nothing but the set.
        rows = sorted(keys - labels.keys(), key=lambda key: (len(key), key))
        ids = [ids_of(row) for row in rows]
        lengths = [len(row) for row in ids]
        start = 0
        while start < len(rows):
            chunk = next_chunk(
                lengths, start, budget=self._chunk_tokens, multiple=self._hardware.multiple
            )
            height = self._height(chunk)
            logits = self._forward(ids[start : chunk.stop], height, chunk.width)
            self._passed()
            if logits is None:
                self._lower_budget(height, chunk.width)
                continue
            scored = calibrate(
                logits, temperature=self._bundle.temperature, threshold=self._threshold
            )
            for row, label in zip(rows[start : chunk.stop], scored, strict=True):
                labels[row] = label
                self._cache.put(row, label)
            start = chunk.stop
        return labels

    def _height(self, chunk: Chunk) -> int:
        """The rows of the forward pass.

        Those that nobody asked for make the shapes few, for each new one costs memory for good;
        where that has run out, they are the first to go.
        """
        rows = len(chunk)
        return max(rows, min(-(-rows // _ROWS) * _ROWS, self._chunk_tokens // chunk.width))

    def _forward(
        self, rows: list[NDArray[np.int32]], height: int, width: int
    ) -> NDArray[np.float64] | None:
        """The logits, shape (rows, outputs); None where the memory does not suffice."""
        ids = np.full((height, width), self._bundle.pad_id, dtype=np.int64)
        mask = np.zeros((height, width), dtype=np.int64)
        for index in range(height):
            row = rows[min(index, len(rows) - 1)]
            ids[index, : len(row)] = row
            mask[index, : len(row)] = 1
        device = self._hardware.device
        # Without padding no mask has to be applied.
        attention = None if mask.all() else torch.from_numpy(mask).to(device)
        try:
            with torch.inference_mode():
                output = self._model(
                    input_ids=torch.from_numpy(ids).to(device), attention_mask=attention
                )
                logits: NDArray[np.float64] = output.logits.double().cpu().numpy()
        except torch.OutOfMemoryError:
            return None
        except torch.AcceleratorError as error:
            # Nothing can be computed on it any more in this process: no text is to blame.
            raise WorkerError(
                f"WORKER_DEVICE={device}: the device failed ({_first_line(error)}). Start again."
            ) from error
        except RuntimeError as error:
            raise ClassifierError(
                f"The model failed on {len(rows)} texts of up to {width} tokens "
                f"({_first_line(error)})."
            ) from error
        return logits[: len(rows)]

    def _lower_budget(self, height: int, width: int) -> None:
        """Makes this chunk and all that follow at most half as large as the one that failed."""
        if self._hardware.device.type == "cuda":
            torch.cuda.empty_cache()
        if height == 1:
            raise ClassifierError(
                f"{self._hardware.device} has too little memory left for one text of {width} "
                "tokens. Stop what else uses the device, or set WORKER_DEVICE=cpu."
            )
        self._chunk_tokens = height * width // 2


def _load(bundle: Bundle, hardware: Hardware) -> PreTrainedModel:
    weights = bundle.path / WEIGHTS
    try:
        with _quiet():
            loaded: tuple[PreTrainedModel, dict[str, Any]]
            loaded = AutoModelForSequenceClassification.from_pretrained(
                bundle.path,
                local_files_only=True,
                use_safetensors=True,
                dtype=hardware.dtype,
                # Said below, and by name.
                ignore_mismatched_sizes=True,
                output_loading_info=True,
            )
    except Exception as error:  # whatever transformers and safetensors raise
        raise SettingsError(
            f"WORKER_MODEL: {bundle.path}: cannot be loaded ({_first_line(error)}). Make or "
            "download it again."
        ) from error
    model, report = loaded
    for name, found, wanted in sorted(report["mismatched_keys"]):
        raise SettingsError(
            f"WORKER_MODEL: {weights}: {name} has shape {tuple(found)}, the config wants "
            f"{tuple(wanted)}. Make or download the bundle again."
        )
    if missing := sorted(report["missing_keys"]):
        raise SettingsError(
            f"WORKER_MODEL: {weights}: lacks {missing[0]} ({len(missing)} missing in all): it is "
            "no sequence classifier of this config. Make or download the bundle again."
        )
    _widen_head(model)
    torch.nn.Module.to(model, hardware.device)
    torch.nn.Module.eval(model)
    return model


def _widen_head(model: PreTrainedModel) -> None:
    """Computes the head in fp32: logits in bf16 come in steps of up to 0.03."""

    def widen(_: torch.nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(one.float() if torch.is_tensor(one) else one for one in inputs)

    for name, child in model.named_children():
        if name != model.base_model_prefix:
            child.float().register_forward_pre_hook(widen)


@contextmanager
def _quiet() -> Iterator[None]:
    """Within it, transformers reports errors only and draws no bars."""
    verbosity, bars = reports.get_verbosity(), reports.is_progress_bar_enabled()
    reports.set_verbosity(logging.ERROR)
    reports.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        reports.set_verbosity(verbosity)
        if bars:
            reports.enable_progress_bar()  # type: ignore[no-untyped-call]


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
