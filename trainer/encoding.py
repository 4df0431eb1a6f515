"""Texts to token ids, on as many processes as asked for.

Apart from `trainer.text`, so that a process that tokenizes does not import transformers.
"""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import TYPE_CHECKING

from tokenizers import Tokenizer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from transformers import PreTrainedTokenizerFast


def encode(
    tokenizer: PreTrainedTokenizerFast, texts: Sequence[str], *, max_length: int, processes: int = 1
) -> list[list[int]]:
    """Turns texts into token ids, cut to `max_length`, special tokens included.

    Args:
        tokenizer: The bundle's.
        texts: As posted.
        max_length: Tokens a text is cut to.
        processes: With 1, the tokenizer's own threads do it in this process.
    """
    definition = tokenizer.backend_tokenizer.to_str()
    if processes == 1 or len(texts) < processes:
        return _encode(definition, texts, max_length)
    size = -(-len(texts) // processes)
    chunks = [texts[start : start + size] for start in range(0, len(texts), size)]
    # spawn: a fork would copy the tokenizer's thread pool without its threads.
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        parts = pool.map(_encode, [definition] * len(chunks), chunks, [max_length] * len(chunks))
        return [ids for part in parts for ids in part]


def _encode(definition: str, texts: Sequence[str], max_length: int) -> list[list[int]]:
    backend = Tokenizer.from_str(definition)
    backend.enable_truncation(max_length)
    return [encoding.ids for encoding in backend.encode_batch_fast(list(texts))]
