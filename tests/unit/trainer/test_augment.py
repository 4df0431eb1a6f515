from __future__ import annotations

import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer import augment, negation, perturb
from trainer.data import Split
from trainer.labels import outputs
from trainer.loop import Examples
from trainer.recipe import Augment
from trainer.text import clean_up

TEXT = "I don't feel so cheerful about the thunderstorm"


def _clean(text: str) -> str:
    return " ".join(clean_up().normalize_str(text).split())


@given(st.integers(0, 10_000))
def test_a_typo_is_one_slip_in_one_longer_word(seed: int) -> None:
    changed = augment.typo(TEXT, random.Random(seed))
    before, after = TEXT.split(), changed.split()
    assert len(before) == len(after)
    different = [(old, new) for old, new in zip(before, after, strict=True) if old != new]
    assert len(different) <= 1
    for old, new in different:
        assert len(old) >= 4
        assert abs(len(old) - len(new)) <= 1
        assert new[0] == old[0]


@pytest.mark.parametrize("name", ["mention", "capitals", "apostrophes", "repost", "hashtag"])
def test_the_clean_up_undoes_what_people_add(name: str) -> None:
    rng = random.Random(3)
    for _ in range(50):
        changed = getattr(augment, name)(TEXT, rng)
        assert _clean(changed) == _clean(TEXT)


def test_elongated_words_come_back_or_nearly() -> None:
    rng = random.Random(3)
    found = {_clean(augment.elongation("so happy now", rng)) for _ in range(200)}
    assert found == {"so happy now", "so happy noow"}


@given(st.text(max_size=40), st.integers(0, 6), st.integers(0, 1000))
def test_any_text_can_be_changed_and_the_seed_decides(text: str, label: int, seed: int) -> None:
    shares = Augment(**dict.fromkeys(Augment.model_fields, 0.5))
    once = augment.augment(text, label, shares, random.Random(seed))
    assert once == augment.augment(text, label, shares, random.Random(seed))
    assert augment.augment(text, label, Augment(), random.Random(seed)) == text


@given(st.text(max_size=40), st.integers(0, 1000))
def test_the_suite_bears_any_text(text: str, seed: int) -> None:
    for change in perturb.SUITE.values():
        assert isinstance(change(text, random.Random(seed)), str)


def test_a_swap_in_the_suite_is_of_two_letters_of_the_longest_word() -> None:
    for seed in range(30):
        changed = perturb.SUITE["letters swapped in the longest word"](TEXT, random.Random(seed))
        word = changed.split()[-1]
        assert changed != TEXT
        assert sorted(word) == sorted("thunderstorm")
        assert changed.split()[:-1] == TEXT.split()[:-1]


def test_examples_change_by_epoch_and_come_back(encoder_tokenizer: object) -> None:
    split = Split(("i feel so merry today",) * 5, (1,) * 5)
    ids = [[2, 5, 3]] * 5
    shares = Augment(capitals=0.0, typo=0.99)
    examples = Examples(split, ids).changed_by(
        shares,
        encoder_tokenizer,  # type: ignore[arg-type]
        max_length=12,
        seed=1,
    )
    first = [examples[index]["input_ids"] for index in range(5)]
    examples.epoch = 1
    second = [examples[index]["input_ids"] for index in range(5)]
    examples.epoch = 0
    assert [examples[index]["input_ids"] for index in range(5)] == first
    assert first != second
    assert Examples(split, ids)[0]["input_ids"] == [2, 5, 3]


def test_the_negation_set_is_sixty_sentences_that_training_never_sees() -> None:
    items = negation.load()
    assert len(items) == 60
    assert len({item.text for item in items}) == 60
    known = {*outputs(neutral=False), "uncertain"}
    for item in items:
        assert item.accepted <= known
        assert item.denied not in item.accepted
        assert item.denied == "" or item.denied in known
    keys = {re.sub(r"\W", "", item.text.lower()) for item in items}
    made = negation.generate(20_000, random.Random(20), neutral=True)
    assert not keys & {re.sub(r"\W", "", text.lower()) for text, _ in made}


def test_made_negations_have_every_label_and_both_styles() -> None:
    made = negation.generate(2000, random.Random(1), neutral=True)
    assert {label for _, label in made} == set(range(7))
    assert all(label != 6 for _, label in negation.generate(200, random.Random(1), neutral=False))
    denied = [label for text, label in made if re.match(r"I'm not (?:\w+ )?happy", text)]
    assert denied
    assert set(denied) <= {0, 3}
