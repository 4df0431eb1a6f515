from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer

from trainer.encoding import encode
from trainer.text import clean_up, make_tokenizer

if TYPE_CHECKING:
    from pathlib import Path


def _clean(text: str) -> str:
    return " ".join(clean_up().normalize_str(text).split())


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("look https://t.co/aB1?x=1 now", "look now"),
        ("HTTP://EXAMPLE.COM/x(1) www.example.com pic.twitter.com/abc t.co/abc", ""),
        ("the http header", "the http header"),
        ("@united thanks", "thanks"),
        ("thanks, @united!", "thanks, !"),
        ("hi @ann@example.social and @ann.bsky.social", "hi and"),
        ("mail ann@example.com", "mail ann@example.com"),
        ("RT @united: we are sorry", "we are sorry"),
        ("part @united", "part"),
        (".@united why", "why"),
        ("#SoHappy #1 C# # alone", "sohappy 1 c# # alone"),
        ("&amp; &lt;3 &gt; &quot;x&quot;", '& <3 > "x"'),
        ("&amp;lt;3 &amp;amp; &AMP;", "<3 & &"),
        ("it&#39;s &#039;fine&#x27; &nbsp;now", "its 'fine' now"),
        ("I didn't, I'm; don\u2019t can\u00b4t", "i didnt, im; dont cant"),
        ("'quoted' dogs'", "'quoted' dogs'"),
        ("ze\u200bro\u00ad wi\u200ddth\ufeff b\x00e\x07ll", "zero width bell"),
        ("one\ntwo\tthree\u2028four\r\nfive", "one two three four five"),
        ("\uff28\uff45\uff4c\uff4c\uff4f \ufb01ne", "hello fine"),
        ("Caf\u00e9 NA\u00cfVE", "cafe naive"),
        ("i didnt feel humiliated", "i didnt feel humiliated"),
    ],
)
def test_clean_up(text: str, cleaned: str) -> None:
    assert _clean(text) == cleaned


@given(st.text(alphabet="abcdefghijklmnopqrstuvwxyz ", max_size=80))
def test_the_training_datas_own_alphabet_is_left_alone(text: str) -> None:
    assert clean_up().normalize_str(text) == text


@given(st.text(max_size=60))
def test_any_text_comes_out_without_controls_or_capitals(text: str) -> None:
    cleaned = clean_up().normalize_str(text)
    assert not any(ord(char) < 32 or char in "\u200b\ufeff" for char in cleaned)
    assert not any("A" <= char <= "Z" for char in cleaned)


@pytest.fixture(scope="module")
def saved(encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tokenizer")
    make_tokenizer(encoder, 16).save_pretrained(folder)
    (folder / "config.json").write_bytes((encoder / "config.json").read_bytes())
    return folder


@pytest.mark.parametrize(
    "text", ["", "   \n", "https://t.co/x", "@ann", "RT @ann: https://t.co/x", "\u200b\ufeff"]
)
def test_nothing_left_is_special_tokens_only(saved: Path, text: str) -> None:
    tokenizer = AutoTokenizer.from_pretrained(saved)
    assert tokenizer(text)["input_ids"] == [2, 3]


def test_the_clean_up_survives_a_plain_reload(saved: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(saved)
    assert tokenizer.tokenize("@ann I DIDN&#39;T feel #merry https://t.co/x") == [
        "i",
        "didnt",
        "feel",
        "merry",
    ]
    assert tokenizer.model_max_length == 16
    assert len(tokenizer("i " * 100, truncation=True)["input_ids"]) == 16


def test_encode_gives_the_same_with_several_processes(encoder: Path) -> None:
    tokenizer = make_tokenizer(encoder, 16)
    texts = ["i feel merry", "", "so very livid today " * 9, "@ann jolly"]
    alone = encode(tokenizer, texts, max_length=8)
    assert alone == encode(tokenizer, texts, max_length=8, processes=2)
    assert [len(ids) for ids in alone] == [5, 2, 8, 3]
