from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models
from transformers import AutoModel, AutoTokenizer, PreTrainedTokenizerFast

from trainer.emoji import emoji_names, widen
from trainer.encoding import encode
from trainer.text import clean_up, make_tokenizer
from worker.errors import SettingsError

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
        ("#SoHappy #1 C# # alone", "so happy 1 c# # alone"),
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
        ("Sooooo happyyyyy, NOOOO! goood loooove", "so happy, no! good loove"),
        ("yesss pleaseee whattt missss hellooo", "yess please what miss hello"),
        (
            "#SoHappyNow iPhone #MondayMorning2Day #USA",
            "so happy now iphone monday morning2 day usa",
        ),
        ("McDonald and #a#bC", "mcdonald and a#b c"),
        ("\U0001f44d\U0001f3fd \u2764\ufe0f", "\U0001f44d \u2764"),
    ],
)
def test_clean_up(text: str, cleaned: str) -> None:
    assert _clean(text) == cleaned


@given(st.text(alphabet="abcdefghijklmnopqrstuvwxyz ", max_size=80))
def test_the_training_datas_own_alphabet_is_left_alone(text: str) -> None:
    assume(re.search(r"([a-z])\1\1", text) is None)
    assert clean_up().normalize_str(text) == text


@given(st.text(alphabet="abehlmosty !", max_size=60))
def test_no_letter_stands_more_than_twice_and_a_second_time_changes_nothing(text: str) -> None:
    cleaned = clean_up().normalize_str(text)
    assert re.search(r"([a-z])\1\1", cleaned) is None
    assert clean_up().normalize_str(cleaned) == cleaned


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


def test_emoji_are_tokens_wherever_they_stand(saved: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(saved)
    found = tokenizer.tokenize(
        "merry\U0001f602\U0001f602jolly \U0001f468\u200d\U0001f469 \u2764\ufe0f"
    )
    assert found == [
        "merry",
        "\U0001f602",
        "\U0001f602",
        "jolly",
        "\U0001f468",
        "\U0001f469",
        "\u2764",
    ]
    assert tokenizer.unk_token_id not in tokenizer("\U0001f62d\U0001f44d\U0001f3fd")["input_ids"]
    assert "[UNK]" in tokenizer.tokenize("\U0001f1e9")


def test_without_emoji_the_vocabulary_is_the_encoders(encoder: Path) -> None:
    before = AutoTokenizer.from_pretrained(encoder)
    assert make_tokenizer(encoder, 16, emoji=False).get_vocab() == before.get_vocab()


def test_an_emojis_embedding_begins_as_the_mean_of_its_names(encoder: Path, tmp_path: Path) -> None:
    tokenizer = make_tokenizer(encoder, 16)
    network = AutoModel.from_pretrained(encoder)
    before = network.get_input_embeddings().weight.detach().clone()
    # None of these names' words but "so" is in the tiny vocabulary.
    names = dict(emoji_names())
    row = tokenizer.get_vocab()["\U0001f62d"]
    assert names["\U0001f62d"] == "crying loudly"
    widen(network, tokenizer)
    after = network.get_input_embeddings().weight.detach()
    assert len(after) == len(tokenizer) == len(before) + len(names)
    assert torch.equal(after[: len(before)], before)
    assert torch.allclose(after[row], before.mean(dim=0))
    widen(network, tokenizer)
    assert len(network.get_input_embeddings().weight) == len(after)


def test_known_words_of_an_emojis_name_are_where_it_begins(
    encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainer.emoji.emoji_names", lambda: {"\U0001f602": "so merry strange"})
    monkeypatch.setattr("trainer.text.emoji_names", lambda: {"\U0001f602": "so merry strange"})
    tokenizer = make_tokenizer(encoder, 16)
    network = AutoModel.from_pretrained(encoder)
    before = network.get_input_embeddings().weight.detach().clone()
    widen(network, tokenizer)
    rows = tokenizer.convert_tokens_to_ids(["so", "merry"])
    expected = before[rows].mean(dim=0)
    assert torch.allclose(network.get_input_embeddings().weight[-1], expected)


def test_an_encoder_without_word_pieces_is_refused(tmp_path: Path) -> None:
    backend = Tokenizer(models.BPE({"a": 0}, []))
    PreTrainedTokenizerFast(tokenizer_object=backend).save_pretrained(tmp_path)  # type: ignore[no-untyped-call]
    with pytest.raises(SettingsError, match="BPE"):
        make_tokenizer(tmp_path, 16)


def test_it_is_done_at_batch_speed(saved: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(saved)
    post = "@ann I'm soooo #MerryToday &amp; jolly \U0001f602 https://t.co/{} thanks to all of you!"
    texts = [post.format(number) for number in range(3000)]
    started = time.process_time()
    tokenizer(texts, truncation=True, max_length=16)
    # 10,000 posts of this length a second of one core are usual; the rest is for a busy machine.
    assert len(texts) / (time.process_time() - started) > 1500


def test_encode_gives_the_same_with_several_processes(encoder: Path) -> None:
    tokenizer = make_tokenizer(encoder, 16)
    texts = ["i feel merry", "", "so very livid today " * 9, "@ann jolly"]
    alone = encode(tokenizer, texts, max_length=8)
    assert alone == encode(tokenizer, texts, max_length=8, processes=2)
    assert [len(ids) for ids in alone] == [5, 2, 8, 3]
