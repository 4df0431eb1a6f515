"""`emotion-worker run`: joins the consumer group and works until told to stop."""

from __future__ import annotations

import logging
import os
import signal
import sys
from pathlib import Path  # noqa: TC003 - click reads it at run time
from threading import Thread, Timer
from typing import TYPE_CHECKING, Any, Final

import click

from worker import logs
from worker.commands.models import classifier_of
from worker.commands.options import env_file_option, setting_option
from worker.settings import load_settings

if TYPE_CHECKING:
    from types import FrameType

log = logging.getLogger(__name__)

END_S: Final = 9.5
"""After a signal, under the 10 s that are promised and that `docker stop` waits for."""


@click.command()
@click.option(
    "--drain",
    is_flag=True,
    help="Stop once the group has reached the end offsets that the topics have now.",
)
@setting_option("kafka_bootstrap_servers", metavar="HOST:PORT,...")
@setting_option("topics", metavar="T,...")
@setting_option("group")
@setting_option("model", metavar="BUNDLE")
@setting_option("device")
@setting_option("batch_tokens", type=int)
@setting_option("batch_posts", type=int)
@setting_option("linger_ms", type=int)
@setting_option("auto_offset_reset", type=click.Choice(["earliest", "latest", "fail"]))
@setting_option("log_format", type=click.Choice(["auto", "console", "json"]))
@click.option("--verbose", is_flag=True, help="Log more.")
@env_file_option
def command(*, drain: bool, verbose: bool, env_file: Path | None, **flags: Any) -> None:  # noqa: ANN401
    """Join the consumer group and work until SIGTERM or SIGINT.

    Reads posts from Kafka, labels them, and writes labels and trends to Postgres, each post
    counted exactly once. Start as many of these as there are partitions to share.
    """
    settings = load_settings(env_file, **flags)
    logs.configure(settings.log_format, verbose=verbose)
    _ = settings.kafka, settings.database  # missing ones are said before the model is loaded

    def leave(number: int, _frame: FrameType | None) -> None:  # until there is work to finish
        signal.signal(number, signal.SIG_DFL)
        end_in_time()
        sys.exit(0)

    signal.signal(signal.SIGTERM, leave)
    signal.signal(signal.SIGINT, leave)

    from worker.pipeline import Worker  # noqa: PLC0415 - the store and Kafka take a second

    classifier = classifier_of(settings)
    worker = Worker(settings, classifier)

    def stop(number: int, _frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)  # a second one ends it at once
        end_in_time()
        worker.stop()
        log.info("stopping", extra={"signal": signal.Signals(number).name})

    def ready() -> None:
        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)

    info = classifier.info
    log.info(
        "starting",
        extra={
            "group": settings.group,
            "topics": ",".join(settings.topics),
            "model": f"{info.name} {info.version}",
            "device": info.device,
        },
    )
    worker.run(drain=drain, ready=ready)
    log.info("drained" if drain else "stopped")
    # A thread that is still inside a long forward pass must not hold the exit up: what it works
    # on belongs to the partition's next owner.
    _flush()
    os._exit(0)


def end_in_time(seconds: float = END_S) -> None:
    """Ends the process in `seconds`, whatever it is doing then, if it has not ended by itself.

    Nothing is lost by it: positions move with what is stored, so this is a crash like any other.
    """
    timer = Timer(seconds, _end)
    timer.daemon = True
    timer.start()


def _end() -> None:
    # What the process hangs in may hold the lock of the log: not waited for.
    flushing = Thread(target=_flush, daemon=True)
    flushing.start()
    flushing.join(0.2)
    os._exit(0)


def _flush() -> None:
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
