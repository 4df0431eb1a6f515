from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.classifier import BatchPolicy, Text, load_classifier
from worker.classifier.stub import StubClassifier
from worker.errors import SettingsError
from worker.posts import LABELS, Label, Unlabelled


@given(texts=st.lists(st.text(st.characters(), max_size=20), max_size=20))
def test_answers_by_the_text_alone(texts: list[str]) -> None:
    answers = StubClassifier().classify([Text(text) for text in texts])

    assert len(answers) == len(texts)
    for text, answer in zip(texts, answers, strict=True):
        assert StubClassifier().classify([Text(text, "en-GB")]) == [answer]
        if isinstance(answer, Label):
            assert answer.emotion in (*LABELS, "uncertain")
            assert abs(sum(answer.scores) - 1_000_000) <= 3
            assert answer.confidence == max(answer.scores) / 1e6
        else:
            assert answer == Unlabelled("empty")


def test_gives_every_emotion_and_uncertain() -> None:
    answers = StubClassifier().classify([Text(f"text {number}") for number in range(500)])

    emotions = {answer.emotion for answer in answers if isinstance(answer, Label)}
    assert emotions == {*LABELS, "uncertain"}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (Text(""), "empty"),
        (Text(" ... \n"), "empty"),
        (Text("...", "de"), "empty"),
        (Text("hallo", "de"), "language"),
    ],
)
def test_leaves_some_unlabelled(text: Text, reason: str) -> None:
    assert StubClassifier().classify([text]) == [Unlabelled(reason)]


def test_takes_its_time_for_each_post() -> None:
    slept: list[float] = []
    stub = StubClassifier(milliseconds_per_post=5, sleep=slept.append)

    stub.classify([Text("a")] * 4)
    stub.classify([])

    assert slept == [0.005] * 4


def test_says_after_each_post_that_it_goes_on() -> None:
    said: list[int] = []
    slept: list[float] = []
    stub = StubClassifier(milliseconds_per_post=5, sleep=slept.append)
    stub.watch(lambda: said.append(len(slept)))

    stub.classify([Text("a")] * 3)

    assert said == [1, 2, 3]


def test_the_settings_name_it() -> None:
    stub = load_classifier("stub:0.5", batch_posts=3, batch_tokens=10, linger_ms=0)

    assert stub.policy == BatchPolicy(tokens=10, posts=3, linger_s=0.0)
    assert stub.info.name == "stub"
    assert isinstance(load_classifier("stub").classify([Text("a")])[0], Label)


@pytest.mark.parametrize("model", ["stub:x", "stub:-1", "stub:nan"])
def test_refuses_another_delay(model: str) -> None:
    with pytest.raises(SettingsError, match=f"WORKER_MODEL={model}"):
        load_classifier(model)


def test_needs_no_torch() -> None:
    code = (
        "import sys; from worker.classifier import Text, load_classifier; "
        "load_classifier('stub').classify([Text('a')]); "
        "sys.exit(any(name in sys.modules for name in ('torch', 'transformers', 'tokenizers')))"
    )

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
