"""The clean-up of post text, as a tokenizer's normalizer: it travels inside `tokenizer.json`.

Training and serving read the same file, so they see the same text, with no code of ours.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from tokenizers import Regex, Tokenizer, normalizers, pre_tokenizers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from trainer.emoji import emoji_names
from worker.errors import SettingsError

if TYPE_CHECKING:
    from pathlib import Path

# Posts are often encoded twice, so "&amp;lt;" has to become "<" too: hence `&` goes first.
_ENTITIES: Final = (
    (r"(?i)&(?:amp;|#0*38;|#x0*26;)+", "&"),
    (r"(?i)&(?:lt|#0*60|#x0*3c);", "<"),
    (r"(?i)&(?:gt|#0*62|#x0*3e);", ">"),
    (r"(?i)&(?:quot|#0*34|#x0*22);", '"'),
    (r"(?i)&(?:apos|#0*39|#x0*27|rsquo|#8217);", "'"),
    (r"(?i)&(?:nbsp|#160);", " "),
)
_CONTROLS: Final = (
    (r"[\t-\r\u0085\u2028\u2029]+", " "),
    # With them skin tones, and the selectors between a black and a coloured picture.
    ("[\\p{Cc}\\p{Cf}\\p{Co}\U0001f3fb-\U0001f3ff\ufe0e\ufe0f\u20e3]+", ""),
)
# "didn't" is "didnt" in the training data. NFKC would take U+00B4 apart, so this goes before it.
_APOSTROPHES: Final = ((r"(?<=\w)['\u2019\u2018\u02bc\u00b4\uff07`](?=\w)", ""),)
_ADDRESSES: Final = (
    # Two patterns: a case-insensitive alternation after a look-behind costs ten times as much.
    (r"(?i)https?://\S*", " "),
    (r"(?<![\w@])(?:[wW]{3}\.|pic\.twitter\.com/|t\.co/)\S*", " "),
    # @name, .@name, @name@host.tld, @name.bsky.social; and the repost prefix "RT @name:".
    (r"(?i)(?:\brt\s+)?\.?(?<!\w)@\w+(?:@[\w-]+(?:\.[\w-]+)+|\.bsky\.social)?:?", " "),
)
_HASHTAGS: Final = (
    # #SoHappy is two words. \G goes on where the last match ended, \K keeps what was matched.
    (r"(?:#|\G(?!\A))\w*?[a-z0-9]\K(?=[A-Z])", " "),
    (r"(?<![\w&])#+(?=\w)", ""),
)
# Three or more of a letter: one is left of letters that English doubles nowhere, or not at the end
# of a word ("sooo" is "so", "happyyy" is "happy"); of others two ("goood" is "good"). The
# look-ahead changes nothing but saves a third of the time.
_DRAWN_OUT: Final = (
    r"(?=([a-z])\1\1)"
    r"(?:([ahijkquvwxy])\K\2{2,}"
    r"|([bcdegmnoprtz])\K\3{2,}(?![a-z])"
    r"|([a-z])\4\K\4+)"
)
_ELONGATION: Final = ((_DRAWN_OUT, ""),)


def clean_up() -> normalizers.Normalizer:
    """Makes the normalizer.

    In order: HTML entities are decoded, control and zero-width characters and skin tones removed,
    apostrophes inside words dropped, NFKC, URLs and mentions removed, `#SoHappy` becomes `So
    Happy`; then what BERT does (lower case, accents stripped, CJK characters apart), and elongated
    words are shortened.
    """

    def replace(rules: tuple[tuple[str, str], ...]) -> list[normalizers.Normalizer]:
        return [normalizers.Replace(Regex(pattern), content) for pattern, content in rules]

    return normalizers.Sequence(
        [
            *replace(_ENTITIES),
            *replace(_CONTROLS),
            *replace(_APOSTROPHES),
            normalizers.NFKC(),
            *replace(_ADDRESSES),
            *replace(_HASHTAGS),
            normalizers.BertNormalizer(
                clean_text=True, handle_chinese_chars=True, strip_accents=True, lowercase=True
            ),
            *replace(_ELONGATION),
        ]
    )


def make_tokenizer(
    encoder: Path, max_length: int, *, emoji: bool = True
) -> PreTrainedTokenizerFast:
    """Gives an encoder's tokenizer our normalizer, emoji, and a limit of `max_length` tokens.

    The class is the generic fast one: `BertTokenizer` builds its own normalizer when it loads and
    would drop ours.

    Args:
        encoder: The encoder's folder.
        max_length: Tokens a text is cut to with `truncation=True`, special tokens included.
        emoji: Whether emoji become tokens; `trainer.emoji.widen` gives the network their
            embeddings.

    Raises:
        SettingsError: The encoder's tokenizer is not WordPiece.
    """
    source = AutoTokenizer.from_pretrained(encoder)
    definition = json.loads(source.backend_tokenizer.to_str())
    if definition["model"]["type"] != "WordPiece":
        raise SettingsError(
            f"--base {encoder}: its tokenizer is {definition['model']['type']}; the clean-up and "
            "the emoji are made for WordPiece (BERT, DistilBERT, MiniLM, MPNet)"
        )
    if emoji:
        vocabulary = definition["model"]["vocab"]
        taken = {*vocabulary.values(), *(token["id"] for token in definition["added_tokens"])}
        new = [character for character in emoji_names() if character not in vocabulary]
        vocabulary.update(zip(new, range(max(taken) + 1, max(taken) + 1 + len(new)), strict=True))
    backend = Tokenizer.from_str(json.dumps(definition))
    backend.normalizer = clean_up()
    if emoji:
        apart = pre_tokenizers.Split(Regex(f"[{''.join(emoji_names())}]"), behavior="isolated")
        backend.pre_tokenizer = pre_tokenizers.Sequence([apart, backend.pre_tokenizer])
    backend.no_padding()
    backend.no_truncation()
    special: dict[str, Any] = {
        name: str(token)
        for name in ("unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
        if (token := getattr(source, name)) is not None
    }
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=backend,
        model_max_length=max_length,
        model_input_names=["input_ids", "attention_mask"],
        **special,
    )
