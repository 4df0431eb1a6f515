"""`emotion-worker classify`: labels texts from the command line or stdin."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any, Final, cast

import click
from rich.console import Console
from rich.text import Text as Line

from worker.classifier import Text, load_classifier
from worker.commands.options import env_file_option, setting_option
from worker.posts import LABELS, Label, Unlabelled
from worker.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from io import BufferedReader
    from pathlib import Path

_MILLION: Final = 1_000_000
_READ_BYTES: Final = 65_536
_BAR_CELLS: Final = 4
_EIGHTHS: Final = " ▏▎▍▌▋▊▉█"
_COLOURS: Final = dict(
    zip(LABELS, ("blue", "yellow", "magenta", "red", "cyan", "green"), strict=True)
)
_EMOTION_WIDTH: Final = 11
_WHY: Final = {"empty": "nothing left after clean-up", "language": "a language it does not know"}


@click.command(short_help="label texts from arguments or stdin")
@click.argument("texts", metavar="[TEXT]...", nargs=-1)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a text, one a line.")
@setting_option("model", metavar="MODEL", help="builtin, a bundle's folder, or a hub id.")
@setting_option("device", metavar="DEVICE", help="auto, cpu, cuda or cuda:N.")
@env_file_option
def command(
    texts: tuple[str, ...],
    as_json: bool,
    model: str | None,
    device: str | None,
    env_file: Path | None,
) -> None:
    """Labels each TEXT, or each line of stdin, with one of six emotions.

    A text is uncertain where the model is not sure enough, and unlabelled where nothing is left of
    it after clean-up. --json prints emotion, confidence and scores; both of the latter are null
    for unlabelled texts, and unlabelled_reason says why.

    \b
    emotion-worker classify "what a day!" "they lost my luggage again"
    emotion-worker classify --json < posts.txt
    """  # noqa: D301 (click needs the control character)
    stdin = cast("BufferedReader", sys.stdin.buffer)
    if not texts and stdin.isatty():
        raise click.UsageError(
            'Give texts, as in emotion-worker classify "what a day!", or pipe them in, a line each.'
        )
    settings = load_settings(env_file, model=model, device=device)
    classifier = load_classifier(
        settings.model,
        device=settings.device,
        min_confidence=settings.min_confidence,
        languages=settings.languages,
        batch_tokens=settings.batch_tokens,
        batch_posts=settings.batch_posts,
        linger_ms=settings.linger_ms,
    )
    batches = [[_readable(text) for text in texts]] if texts else _read_lines(stdin)
    show = _print_json if as_json else _Lines().show
    posts = classifier.policy.posts
    for batch in batches:
        for start in range(0, len(batch), posts):
            some = batch[start : start + posts]
            show(zip(some, classifier.classify([Text(text) for text in some]), strict=True))


def _readable(argument: str) -> str:
    """An argument with the bytes that are no UTF-8 replaced."""
    return argument.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _read_lines(stream: BufferedReader) -> Iterator[list[str]]:
    """Yields the lines that have come, as soon as there are any; never waits for a full batch."""
    rest = b""
    while data := stream.read1(_READ_BYTES):
        *lines, rest = (rest + data).split(b"\n")
        if lines:
            yield [_decode(line) for line in lines]
    if rest:
        yield [_decode(rest)]


def _decode(line: bytes) -> str:
    return line.removesuffix(b"\r").decode("utf-8", "replace")


def _print_json(results: Iterable[tuple[str, Label | Unlabelled]]) -> None:
    for _, result in results:
        click.echo(json.dumps(_as_json(result)))
    sys.stdout.flush()


def _as_json(result: Label | Unlabelled) -> dict[str, Any]:
    if isinstance(result, Unlabelled):
        return {
            "emotion": "unlabelled",
            "confidence": None,
            "scores": None,
            "unlabelled_reason": result.reason,
        }
    return {
        "emotion": result.emotion,
        "confidence": result.confidence,
        "scores": {
            label: score / _MILLION for label, score in zip(LABELS, result.scores, strict=True)
        },
    }


class _Lines:
    """A line a text: emotion, confidence, a bar for each of the six, the text."""

    def __init__(self) -> None:
        self._console = Console(highlight=False, soft_wrap=False)
        self._headed = False

    def show(self, results: Iterable[tuple[str, Label | Unlabelled]]) -> None:
        if not self._headed:
            heads = " ".join(f"{label[:_BAR_CELLS]:{_BAR_CELLS}}" for label in LABELS)
            self._print(Line(f"{'emotion':{_EMOTION_WIDTH}} conf {heads}  text", style="bold"))
            self._headed = True
        for text, result in results:
            self._print(self._line(text, result))

    def _print(self, line: Line) -> None:
        self._console.print(line, no_wrap=True, overflow="ellipsis")

    @staticmethod
    def _line(text: str, result: Label | Unlabelled) -> Line:
        # Whatever is not printable could steer the terminal.
        shown = "".join(one if one.isprintable() else " " for one in text)
        line = Line()
        if isinstance(result, Unlabelled):
            bars = (_BAR_CELLS + 1) * len(LABELS) - 1
            why = f"({_WHY.get(result.reason, result.reason)})"
            line.append(f"{'unlabelled':{_EMOTION_WIDTH}} {'-':>4} {why:{bars}}", style="dim")
        else:
            line.append(
                f"{result.emotion:{_EMOTION_WIDTH}}", style=_COLOURS.get(result.emotion, "")
            )
            line.append(f" {result.confidence:4.2f}")
            for label, score in zip(LABELS, result.scores, strict=True):
                line.append(" ").append(_bar(score), style=_COLOURS[label])
        return line.append("  ").append(shown)


def _bar(score: int) -> str:
    """A bar of fixed width for a score in millionths."""
    full, eighths = divmod(round(score / _MILLION * _BAR_CELLS * 8), 8)
    return ("█" * full + (_EIGHTHS[eighths] if eighths else "")).ljust(_BAR_CELLS)
