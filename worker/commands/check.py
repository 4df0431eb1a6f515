"""`emotion-worker check`: preflight, each finding with its fix."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - click reads it at run time
from typing import TYPE_CHECKING

import click

from worker.commands.models import classifier_of
from worker.commands.options import env_file_option, setting_option
from worker.errors import WorkerError
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
    _say(True, "settings", f"group {settings.group}, topics {', '.join(settings.topics)}")
    worst = 0
    looks: list[tuple[str, Callable[[Settings], Iterator[tuple[bool, str]]]]] = [
        ("kafka", _kafka),
        ("postgres", _postgres),
        ("model", _model),
    ]
    for name, look in looks:
        try:
            for good, what in look(settings):
                _say(good, name, what)
                worst = max(worst, 0 if good else 1)
        except WorkerError as error:
            _say(False, name, str(error))
            worst = max(worst, error.exit_code)
    return worst


def _say(good: bool, name: str, what: str) -> None:
    mark = click.style("ok  ", fg="green") if good else click.style("FAIL", fg="red")
    click.echo(f"{mark} {name:<9} {what}")


def _kafka(settings: Settings) -> Iterator[tuple[bool, str]]:
    from worker.source.admin import topic_partitions  # noqa: PLC0415 - slow to import

    for topic in settings.topics:
        partitions = topic_partitions(settings, topic)
        if partitions is None:
            yield False, f"the topic {topic} does not exist: create it, or mend WORKER_TOPICS"
        else:
            yield True, f"topic {topic}: {len(partitions)} partitions"


def _postgres(settings: Settings) -> Iterator[tuple[bool, str]]:
    from worker.store.preflight import look  # noqa: PLC0415 - slow to import

    for finding in look(settings.database):
        yield finding.good, finding.what


def _model(settings: Settings) -> Iterator[tuple[bool, str]]:
    info = classifier_of(settings).info
    yield True, f"{info.name} {info.version} on {info.device}"
