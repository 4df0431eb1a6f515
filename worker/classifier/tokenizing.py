"""Texts to token ids, by the bundle's own `tokenizer.json`, and which of them say anything."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Final

import numpy as np
from tokenizers import Tokenizer

from worker.classifier.bundle import TOKENIZER
from worker.classifier.content import has_content
from worker.errors import ClassifierError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from tokenizers import Encoding

    from worker.classifier.bundle import Bundle

# A text is tokenized up to here first: enough for max_length tokens of nearly every text.
_CHARACTERS_PER_TOKEN: Final = 24


class TextTokenizer:
    """Tokenizes texts as every consumer of the bundle does, cut to its maximal length.

    Raises:
        SettingsError: `tokenizer.json` is none that the `tokenizers` library can read.
    """

    def __init__(self, bundle: Bundle) -> None:
        path = bundle.path / TOKENIZER
        try:
            self._tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # the library raises nothing more specific
            raise SettingsError(f"WORKER_MODEL: {path}: cannot be read: {error}") from error
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(bundle.max_length)
        self._max_length = bundle.max_length
        self._characters = bundle.max_length * _CHARACTERS_PER_TOKEN
        self._says = _content_ids(self._tokenizer, bundle)

    def encode(self, texts: Sequence[str]) -> list[bytes | None]:
        """Tokenizes texts.

        Returns:
            For each text its ids as the bytes of int32, at most `max_length` of them, special ones
            included; None where no token has content: all are special, unknown, or punctuation.

        Raises:
            ClassifierError: The tokenizer failed on one of the texts.
        """
        heads = [self._head(text) for text in texts]
        encodings = self._encode(heads)
        # A head that did not fill the row (it was mostly addresses, say) says too little.
        short = [
            index
            for index, (text, head) in enumerate(zip(texts, heads, strict=True))
            if len(head) < len(text) and len(encodings[index].ids) < self._max_length
        ]
        for index, encoding in zip(
            short, self._encode([texts[index] for index in short]), strict=True
        ):
            encodings[index] = encoding
        says = self._says
        return [
            array("i", ids).tobytes() if any(says[id_] for id_ in ids) else None
            for ids in (encoding.ids for encoding in encodings)
        ]

    def _head(self, text: str) -> str:
        """The beginning of a long text, cut between words where it has any."""
        if len(text) <= self._characters:
            return text
        head = text[: self._characters]
        return head[: head.rfind(" ")] if " " in head else head

    def _encode(self, texts: Sequence[str]) -> list[Encoding]:
        if not texts:
            return []
        try:
            try:
                return self._tokenizer.encode_batch_fast(list(texts))
            except TypeError:
                # Lone surrogates are no text for it; decoded posts have none.
                whole = [text.encode("utf-8", "replace").decode() for text in texts]
                return self._tokenizer.encode_batch_fast(whole)
        except Exception as error:  # the library raises nothing more specific
            raise ClassifierError(
                f"The tokenizer failed on {len(texts)} texts ({type(error).__name__})."
            ) from error


def ids_of(key: bytes) -> NDArray[np.int32]:
    """The token ids that `TextTokenizer.encode` gave."""
    return np.frombuffer(key, dtype=np.int32)


def _content_ids(tokenizer: Tokenizer, bundle: Bundle) -> list[bool]:
    size = max(tokenizer.get_vocab(with_added_tokens=True).values()) + 1
    pieces = tokenizer.decode_batch([[id_] for id_ in range(size)], skip_special_tokens=False)
    says = [has_content(piece) for piece in pieces]
    for id_, token in tokenizer.get_added_tokens_decoder().items():
        if token.special:
            says[id_] = False
    if bundle.unknown_id is not None:
        says[bundle.unknown_id] = False
    return says
