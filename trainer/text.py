"""The clean-up of post text, as a tokenizer's normalizer: it travels inside `tokenizer.json`.

Training and serving read the same file, so they see the same text, with no code of ours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tokenizers import Regex, Tokenizer, normalizers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

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
    (r"[\p{Cc}\p{Cf}\p{Co}]+", ""),
)
# "didn't" is "didnt" in the training data. NFKC would take U+00B4 apart, so this goes before it.
_APOSTROPHES: Final = ((r"(?<=\w)['\u2019\u2018\u02bc\u00b4\uff07`](?=\w)", ""),)
_ADDRESSES: Final = (
    # Two patterns: a case-insensitive alternation after a look-behind costs ten times as much.
    (r"(?i)https?://\S*", " "),
    (r"(?<![\w@])(?:[wW]{3}\.|pic\.twitter\.com/|t\.co/)\S*", " "),
    # @name, .@name, @name@host.tld, @name.bsky.social; and the repost prefix "RT @name:".
    (r"(?i)(?:\brt\s+)?\.?(?<!\w)@\w+(?:@[\w-]+(?:\.[\w-]+)+|\.bsky\.social)?:?", " "),
    (r"(?<![\w&])#+(?=\w)", ""),
)


def clean_up() -> normalizers.Normalizer:
    """Makes the normalizer.

    In order: HTML entities are decoded, control and zero-width characters removed, apostrophes
    inside words dropped, NFKC, URLs and mentions removed, `#tag` becomes `tag`; then what BERT does
    (lower case, accents stripped, CJK characters apart).
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
            normalizers.BertNormalizer(
                clean_text=True, handle_chinese_chars=True, strip_accents=True, lowercase=True
            ),
        ]
    )


def make_tokenizer(encoder: Path, max_length: int) -> PreTrainedTokenizerFast:
    """Gives an encoder's tokenizer our normalizer, and a limit of `max_length` tokens.

    The class is the generic fast one: `BertTokenizer` builds its own normalizer when it loads and
    would drop ours.

    Args:
        encoder: The encoder's folder.
        max_length: Tokens a text is cut to with `truncation=True`, special tokens included.
    """
    source = AutoTokenizer.from_pretrained(encoder)
    backend = Tokenizer.from_str(source.backend_tokenizer.to_str())
    backend.normalizer = clean_up()
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
