from __future__ import annotations

import itertools
import math
import os
import socket
import unicodedata
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer
from transformers import AutoModelForSequenceClassification

import worker
from worker.classifier import Text, load_classifier
from worker.classifier.tokenizing import ids_of
from worker.errors import ClassifierError, WorkerError
from worker.posts import LABELS, Label, Unlabelled

if TYPE_CHECKING:
    from collections.abc import Callable

    from worker.classifier.transformer import TransformerClassifier

EMPTY = Unlabelled("empty")
FOREIGN = Unlabelled("language")
BUILTIN = Path(worker.__file__).parent / "models" / "builtin"
# fp32 sums depend a little on the shape of a forward pass.
MILLIONTHS = 20

words = st.sampled_from(["happy", "sad", "so", "a", "b7", "...", "@you", "http://x.y/z", "ж", "!"])
posts = st.builds(
    lambda parts, lang: Text(" ".join(parts), lang),
    st.lists(words, max_size=25),
    st.sampled_from([None, "en", "en-GB", "de"]),
)
shared_fixtures = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=30
)


def _same(one: Label | Unlabelled, other: Label | Unlabelled) -> bool:
    if isinstance(one, Unlabelled) or isinstance(other, Unlabelled):
        return one == other
    return all(
        abs(a - b) <= MILLIONTHS for a, b in zip(one.scores, other.scores, strict=True)
    ) and math.isclose(one.confidence, other.confidence, abs_tol=MILLIONTHS / 1e6)


def _count_rows(classifier: TransformerClassifier, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The different rows of each forward pass from now on: some repeat one, to fill the shape."""
    rows: list[int] = []
    forward = classifier._model.forward

    def counted(*args: Any, **inputs: Any) -> Any:
        assert len(inputs["input_ids"]) % 8 == 0
        rows.append(len(inputs["input_ids"].unique(dim=0)))
        return forward(*args, **inputs)

    monkeypatch.setattr(classifier._model, "forward", counted)
    return rows


@pytest.mark.parametrize("outputs", [6, 7])
def test_gives_what_plain_transformers_gives(
    make_bundle: Callable[..., Path],
    make_classifier: Callable[..., TransformerClassifier],
    outputs: int,
) -> None:
    path = make_bundle(outputs=outputs, temperature=1.7)
    texts = [
        "so happy",
        "sad",
        "i feel the sadness of x, y and z!",
        "a b c d e f g h i j k l m n o p",
    ]
    network = AutoModelForSequenceClassification.from_pretrained(path, dtype=torch.float32).eval()
    tokenizer = Tokenizer.from_file(str(path / "tokenizer.json"))
    tokenizer.enable_truncation(16)

    answers = make_classifier(path).classify([Text(text) for text in texts])

    for text, answer in zip(texts, answers, strict=True):
        with torch.inference_mode():
            logits = network(torch.tensor([tokenizer.encode(text).ids])).logits[0]
        probabilities = torch.softmax(logits.double() / 1.7, -1).tolist()[:6]
        assert isinstance(answer, Label)
        assert [score / 1e6 for score in answer.scores] == pytest.approx(probabilities, abs=2e-5)
        assert answer.emotion == LABELS[max(range(6), key=probabilities.__getitem__)]
        assert answer.confidence == max(answer.scores) / 1e6


@shared_fixtures
@given(texts=st.lists(posts, max_size=12), shuffle=st.randoms())
def test_order_and_company_change_nothing(
    make_classifier: Callable[..., TransformerClassifier], texts: list[Text], shuffle: Any
) -> None:
    classifier = make_classifier(remembered=0)
    order = list(range(len(texts)))
    shuffle.shuffle(order)

    answers = classifier.classify(texts)

    assert len(answers) == len(texts)
    assert classifier.classify([texts[index] for index in order]) == [answers[i] for i in order]
    assert all(
        _same(classifier.classify([text])[0], answer)
        for text, answer in zip(texts, answers, strict=True)
    )


@shared_fixtures
@given(texts=st.lists(posts, min_size=1, max_size=6), twice=st.lists(st.integers(0, 5), max_size=6))
def test_scoring_once_is_as_good_as_each_time(
    make_classifier: Callable[..., TransformerClassifier], texts: list[Text], twice: list[int]
) -> None:
    classifier = make_classifier()
    alone = make_classifier(remembered=0)
    repeated = texts + [texts[index % len(texts)] for index in twice]

    answers = classifier.classify(repeated)

    assert answers[: len(texts)] == classifier.classify(texts)
    for text, answer in zip(repeated, answers, strict=True):
        assert _same(alone.classify([text])[0], answer)


def test_scores_the_same_tokens_once(
    make_classifier: Callable[..., TransformerClassifier], monkeypatch: pytest.MonkeyPatch
) -> None:
    classifier = make_classifier()
    rows = _count_rows(classifier, monkeypatch)

    classifier.classify([Text("so sad"), Text("SO  SAD @you"), Text("so sad http://x.y")])
    classifier.classify([Text("so sad"), Text("so happy")])

    assert rows == [1, 1]


def test_says_after_each_forward_pass_that_it_goes_on(
    make_classifier: Callable[..., TransformerClassifier], monkeypatch: pytest.MonkeyPatch
) -> None:
    classifier = make_classifier()
    passes: list[int] = []
    said: list[int] = []
    forward = classifier._forward

    def counted(*args: Any) -> Any:
        passes.append(1)
        return forward(*args)

    monkeypatch.setattr(classifier, "_forward", counted)
    classifier.watch(lambda: said.append(len(passes)))
    classifier._chunk_tokens = 40

    classifier.classify([Text("so happy " + "happy " * number) for number in range(12)])

    assert len(said) > 2
    assert said == list(range(1, len(passes) + 1))


def test_forgets_what_was_not_asked_for_the_longest(
    make_classifier: Callable[..., TransformerClassifier], monkeypatch: pytest.MonkeyPatch
) -> None:
    classifier = make_classifier(remembered=2)
    rows = _count_rows(classifier, monkeypatch)

    for text in ("a", "b", "a", "c", "a", "b"):
        classifier.classify([Text(text)])

    assert len(rows) == 4  # a, b, c, and b again


@pytest.mark.parametrize(
    "text",
    ["", " \n\t", "http://x.y/z @you", "...!?", "[SEP] [PAD]", "ж щ", "\u200b\ufeff", "ж, ..!"],
)
def test_a_text_without_content_is_empty(
    make_classifier: Callable[..., TransformerClassifier], text: str
) -> None:
    assert make_classifier().classify([Text(text), Text(text, "de")]) == [EMPTY, EMPTY]


@pytest.mark.parametrize("lang", ["de", "DE-at", "zh", "eng"])
def test_leaves_other_languages_alone(
    make_classifier: Callable[..., TransformerClassifier], lang: str
) -> None:
    assert make_classifier().classify([Text("so sad", lang)]) == [FOREIGN]


@pytest.mark.parametrize("lang", [None, "", "en", "EN", "en-US", "en_gb", "und", "Und-Latn"])
def test_labels_its_own_language_and_the_unknown(
    make_classifier: Callable[..., TransformerClassifier], lang: str | None
) -> None:
    assert isinstance(make_classifier().classify([Text("so sad", lang)])[0], Label)


def test_is_uncertain_below_the_threshold(
    make_classifier: Callable[..., TransformerClassifier],
) -> None:
    texts = [Text("so sad"), Text("happy"), Text("a b c")]
    sure = make_classifier(threshold=0.0).classify(texts)
    unsure = make_classifier(threshold=1.0).classify(texts)

    for one, other in zip(sure, unsure, strict=True):
        assert isinstance(one, Label)
        assert isinstance(other, Label)
        assert one.emotion == LABELS[one.scores.index(max(one.scores))]
        assert other == replace(one, emotion="uncertain")


@pytest.mark.parametrize("multiple", [1, 8])
def test_padding_changes_nothing(
    make_classifier: Callable[..., TransformerClassifier], multiple: int
) -> None:
    texts = [Text(" ".join("abcdefghijkl"[:length])) for length in range(1, 12)]

    together = make_classifier(chunk_tokens=10_000, multiple=multiple).classify(texts)
    apart = make_classifier(chunk_tokens=1).classify(texts)

    assert all(_same(one, other) for one, other in zip(together, apart, strict=True))


@pytest.mark.parametrize(
    "text",
    ["so sad " * 3_000, "@someone " * 2_000 + "so sad", "x" * 20_000, "a" + " " * 19_998 + "b"],
)
def test_a_long_text_is_labelled_by_its_first_tokens(
    make_bundle: Callable[..., Path],
    make_classifier: Callable[..., TransformerClassifier],
    text: str,
) -> None:
    path = make_bundle()
    classifier = make_classifier(path)
    tokenizer = Tokenizer.from_file(str(path / "tokenizer.json"))
    tokenizer.enable_truncation(16)
    full = tokenizer.encode(text).ids

    key = classifier._tokenizer.encode([text])[0]

    content = set(full) - {1, 2, 3}
    assert (key is not None) == bool(content)
    if key is not None:
        assert memoryview(key).cast("i").tolist() == full


def test_lone_surrogates_do_no_harm(make_classifier: Callable[..., TransformerClassifier]) -> None:
    answers = make_classifier().classify([Text("so \udc80 sad"), Text("happy"), Text("\ud83d")])

    assert [type(answer) for answer in answers] == [Label, Label, Unlabelled]


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_score_that_is_no_number_is_an_error(
    make_classifier: Callable[..., TransformerClassifier], value: float
) -> None:
    classifier = make_classifier()
    torch.nn.init.constant_(classifier._model.get_parameter("classifier.bias"), value)

    with pytest.raises(ClassifierError, match="no number for 2 of 2 texts") as caught:
        classifier.classify([Text("secret"), Text("secre1")])
    assert "secre" not in str(caught.value)


def _break(
    classifier: TransformerClassifier, monkeypatch: pytest.MonkeyPatch, error: Exception, over: int
) -> list[int]:
    """Makes passes of more than `over` tokens fail; returns the tokens of each pass."""
    forward = classifier._model.forward
    tokens: list[int] = []

    def failing(*args: Any, **inputs: Any) -> Any:
        tokens.append(inputs["input_ids"].numel())
        if tokens[-1] > over:
            raise error
        return forward(*args, **inputs)

    monkeypatch.setattr(classifier._model, "forward", failing)
    return tokens


def test_out_of_memory_lowers_the_budget_for_good(
    make_classifier: Callable[..., TransformerClassifier], monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [Text(f"{one} {other} happy") for one in "abcdefgh" for other in "abcdefgh"]
    expected = make_classifier(remembered=0).classify(texts)
    classifier = make_classifier(remembered=0, chunk_tokens=320)
    tokens = _break(classifier, monkeypatch, torch.OutOfMemoryError("out"), over=100)

    answers = classifier.classify(texts)

    assert all(_same(one, other) for one, other in zip(answers, expected, strict=True))
    assert [count for count in tokens if count > 100] == [320, 160]
    tokens.clear()
    classifier.classify(texts)
    assert max(tokens) <= 100


@pytest.mark.parametrize("texts", [1, 2, 3, 7, 9])
def test_out_of_memory_ends_only_where_one_text_alone_does_not_fit(
    make_classifier: Callable[..., TransformerClassifier],
    monkeypatch: pytest.MonkeyPatch,
    texts: int,
) -> None:
    """Rows that only make the shapes few must not take the memory that a text needs."""
    given = [Text(" ".join(letter * 12)) for letter in "abcdefghi"[:texts]]
    expected = make_classifier(remembered=0).classify(given)
    classifier = make_classifier(remembered=0, chunk_tokens=320)
    tokens = _break(classifier, monkeypatch, torch.OutOfMemoryError("out"), over=16)

    answers = classifier.classify(given)

    assert all(_same(one, other) for one, other in zip(answers, expected, strict=True))
    failed = [count for count in tokens if count > 16]
    assert failed
    assert all(after <= before / 2 for before, after in itertools.pairwise(failed))


def test_a_score_that_is_no_number_is_that_text_s_alone(
    make_classifier: Callable[..., TransformerClassifier], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found by halves, as the pipeline does it, its neighbours get their labels all the same."""
    classifier = make_classifier()
    texts = [Text(f"so {letter}") for letter in "abcdefgh"]
    expected = classifier.classify(texts)
    classifier = make_classifier()
    [key] = classifier._tokenizer.encode(["so e"])
    assert key is not None
    bad = int(ids_of(key)[2])
    forward = classifier._model.forward

    def poisoned(*args: Any, **inputs: Any) -> Any:
        output = forward(*args, **inputs)
        rows = (inputs["input_ids"] == bad).any(dim=1)
        output.logits[rows, 3] = math.nan
        return output

    monkeypatch.setattr(classifier._model, "forward", poisoned)

    def label(given: list[Text]) -> list[Label | Unlabelled | None]:
        try:
            return [*classifier.classify(given)]
        except ClassifierError:
            if len(given) == 1:
                return [None]
            return label(given[: len(given) // 2]) + label(given[len(given) // 2 :])

    answers = label(texts)
    assert [n for n, answer in enumerate(answers) if answer is None] == [4]
    for n, answer in enumerate(answers):
        assert answer is None or _same(answer, expected[n])


def test_says_when_not_even_one_text_fits(
    make_classifier: Callable[..., TransformerClassifier], monkeypatch: pytest.MonkeyPatch
) -> None:
    classifier = make_classifier()
    _break(classifier, monkeypatch, torch.OutOfMemoryError("out"), over=0)

    with pytest.raises(ClassifierError, match="too little memory"):
        classifier.classify([Text("so sad"), Text("happy")])


def test_a_failure_of_the_model_says_what_failed(
    make_classifier: Callable[..., TransformerClassifier], monkeypatch: pytest.MonkeyPatch
) -> None:
    classifier = make_classifier()
    _break(classifier, monkeypatch, RuntimeError("index out of range\nmore"), over=0)

    with pytest.raises(ClassifierError, match=r"failed on 1 texts .*\(index out of range\)"):
        classifier.classify([Text("secret")])


def test_a_broken_device_is_no_text_s_fault(
    make_classifier: Callable[..., TransformerClassifier], monkeypatch: pytest.MonkeyPatch
) -> None:
    classifier = make_classifier()
    _break(classifier, monkeypatch, torch.AcceleratorError("device-side assert"), over=0)

    with pytest.raises(WorkerError, match="WORKER_DEVICE=cpu: the device failed") as caught:
        classifier.classify([Text("so sad")])
    assert not isinstance(caught.value, ClassifierError)


def test_16_bits_are_close_to_32(
    make_bundle: Callable[..., Path], make_classifier: Callable[..., TransformerClassifier]
) -> None:
    path = make_bundle()
    texts = [Text("so sad"), Text("happy"), Text("a b c")]
    exact = make_classifier(path).classify(texts)
    rough = make_classifier(path, dtype=torch.bfloat16).classify(texts)

    for one, other in zip(exact, rough, strict=True):
        assert isinstance(one, Label)
        assert isinstance(other, Label)
        assert one.scores != other.scores
        assert other.confidence == pytest.approx(one.confidence, abs=0.1)


def test_says_what_it_is(make_classifier: Callable[..., TransformerClassifier]) -> None:
    classifier = make_classifier()

    assert (classifier.info.name, classifier.info.version) == ("tiny", "1.2.3")
    assert classifier.info.device == "cpu (fp32)"
    assert classifier.info.labels == LABELS


def test_loads_without_network_and_without_a_word(
    make_bundle: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        pytest.fail("went to the network")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    path = make_bundle()
    capfd.readouterr()

    classifier = load_classifier(
        str(path), device="cpu", min_confidence=1.0, languages=["DE"], batch_tokens=7, linger_ms=30
    )
    answers = classifier.classify([Text("so sad", "de-CH"), Text("so sad", "en")])

    assert capfd.readouterr() == ("", "")
    assert isinstance(answers[0], Label)
    assert answers[0].emotion == "uncertain"
    assert answers[1] == FOREIGN
    assert (classifier.policy.tokens, classifier.policy.linger_s) == (7, 0.03)
    assert classifier.policy.posts > 1


@pytest.mark.parametrize(("given_policy", "policy"), [(None, "PASSIVE"), ("ACTIVE", "ACTIVE")])
def test_threads_wait_without_spinning(
    make_bundle: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    given_policy: str | None,
    policy: str,
) -> None:
    monkeypatch.setenv("OMP_WAIT_POLICY", given_policy or "")
    if given_policy is None:
        monkeypatch.delenv("OMP_WAIT_POLICY")

    load_classifier(str(make_bundle()), device="cpu")

    assert os.environ["OMP_WAIT_POLICY"] == policy


@pytest.mark.skipif(
    not (BUILTIN / "model.safetensors").is_file(), reason="the bundle builtin is not built yet"
)
def test_the_builtin_model_knows_plain_feelings() -> None:
    classifier = load_classifier("builtin", device="cpu")
    plain = {
        "sadness": "i feel so lonely and heartbroken since she left",
        "joy": "i am so happy and delighted today",
        "anger": "i am furious and feel so angry at them",
        "fear": "i feel terrified and afraid of what comes",
    }

    answers = classifier.classify([Text(text) for text in plain.values()])

    assert [answer.emotion for answer in answers if isinstance(answer, Label)] == list(plain)
    assert classifier.classify([Text("@you http://x.y ...")]) == [EMPTY]


def test_content_is_by_unicode_category(
    make_classifier: Callable[..., TransformerClassifier],
) -> None:
    tokenizer = make_classifier()._tokenizer
    says = tokenizer._says
    names = tokenizer._tokenizer

    for id_, content in enumerate(says):
        piece = names.id_to_token(id_)
        assert piece is not None
        expected = not piece.startswith("[") and any(
            unicodedata.category(one)[0] not in "PZC" for one in piece
        )
        assert content == expected, piece
