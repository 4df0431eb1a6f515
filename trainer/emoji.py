"""Emoji as tokens: their names, and embeddings made from those."""

from __future__ import annotations

from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from transformers import PreTrainedTokenizerFast


@cache
def emoji_names() -> Mapping[str, str]:
    """Words for each emoji that becomes a token.

    They are Unicode 14's character names (a file, so that the vocabulary does not depend on the
    version of Python), with plainer words for those that are used most.
    """
    text = (resources.files("trainer") / "emoji.tsv").read_text("utf-8")
    return MappingProxyType(dict(line.split("\t") for line in text.splitlines()))


def widen(network: Any, tokenizer: PreTrainedTokenizerFast) -> None:  # noqa: ANN401
    """Gives a network an embedding for each emoji of the tokenizer that it has none for.

    It is the mean of the embeddings of its name's word pieces, so that a crying face begins near
    the words "crying" and "sad".

    Args:
        network: A transformers model whose vocabulary is a prefix of the tokenizer's.
        tokenizer: From `trainer.text.make_tokenizer`.
    """
    vocabulary = tokenizer.get_vocab()
    before = network.get_input_embeddings().weight.shape[0]
    # Not the tokenizer's length: an encoder may have more embeddings than tokens.
    needed = max(vocabulary.values()) + 1
    if needed <= before:
        return
    network.resize_token_embeddings(needed, mean_resizing=False)
    weight = network.get_input_embeddings().weight
    with torch.no_grad():
        typical = weight[:before].mean(dim=0)
        for character, name in emoji_names().items():
            row = vocabulary[character]
            if row < before:
                continue
            pieces = tokenizer(name, add_special_tokens=False)["input_ids"]
            known = [i for i in pieces if i < before and i != tokenizer.unk_token_id]
            weight[row] = weight[known].mean(dim=0) if known else typical
