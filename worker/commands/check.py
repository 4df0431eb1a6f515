"""`emotion-worker check`: preflight, each finding with its fix."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - click reads it at run time
from typing import TYPE_CHECKING

import click

from worker.commands.models import classifier_of
from worker.commands.options import env_file_option, setting_option
from worker.errors import WorkerError
from worker.posts.formats import DEFAULT
from worker.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from worker.settings import Settings


@click.command()
@setting_option("model", metavar="BUNDLE")
@setting_option("device")
@env_file_option
def command(*, env_file: Path | None, model: str | None, device: str | None) -> int:
    """Look at settings, broker, topics, database, schema, model and device before a start.

    Exits 0 if all is well, 2 if a setting is wrong, 3 if something cannot be reached, else 1.
    """
    settings = load_settings(env_file, model=model, device=device)
    formats = dict(settings.formats or ())
    topics = ", ".join(
        f"{topic} ({formats.get(topic, DEFAULT)})" if formats else topic
        for topic in settings.topics
    )
    _say(True, "settings", f"group {settings.group}, topics {topics}")
    worst = 0
    looks: list[tuple[str, Callable[[Settings], Iterator[tuple[bool | None, str]]]]] = [
        ("kafka", _kafka),
        ("postgres", _postgres),
        ("model", _model),
    ]
    for name, look in looks:
        try:
            for good, what in look(settings):
                _say(good, name, what)
                worst = max(worst, 1 if good is False else 0)
        except WorkerError as error:
            _say(False, name, str(error))
            worst = max(worst, error.exit_code)
    return worst


def _say(good: bool | None, name: str, what: str) -> None:
    """One finding; `good` is None for what works, and should be known."""
    mark = {
        True: click.style("ok  ", fg="green"),
        None: click.style("warn", fg="yellow"),
        False: click.style("FAIL", fg="red"),
    }[good]
    click.echo(f"{mark} {name:<9} {what}")


def _kafka(settings: Settings) -> Iterator[tuple[bool | None, str]]:
    from worker.source.admin import topic_partitions  # noqa: PLC0415 - slow to import
    from worker.source.config import exposures  # noqa: PLC0415

    for exposure in exposures(settings):
        yield None, exposure
    for topic in settings.topics:
        partitions = topic_partitions(settings, topic)
        if partitions is None:
            yield False, f"the topic {topic} does not exist: create it, or mend WORKER_TOPICS"
        else:
            yield True, f"topic {topic}: {len(partitions)} partitions"


def _postgres(settings: Settings) -> Iterator[tuple[bool | None, str]]:
    from worker.store.preflight import look  # noqa: PLC0415 - slow to import

    for finding in look(settings.database):
        yield finding.good, finding.what


def _model(settings: Settings) -> Iterator[tuple[bool | None, str]]:
    info = classifier_of(settings).info
    yield True, f"{info.name} {info.version} on {info.device}"
