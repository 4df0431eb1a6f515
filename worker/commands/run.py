"""`emotion-worker run`: joins the consumer group and works until told to stop."""

from __future__ import annotations

import logging
from pathlib import Path  # noqa: TC003 - click reads it at run time
from typing import Any

import click

from worker import logs
from worker.commands.models import classifier_of
from worker.commands.options import env_file_option, setting_option
from worker.commands.stopping import end_now, leave_on_signals, stop_on_signals
from worker.settings import load_settings

log = logging.getLogger(__name__)


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

    leave_on_signals()

    from worker.pipeline import Worker  # noqa: PLC0415 - the store and Kafka take a second
    from worker.store.revision import check_database  # noqa: PLC0415

    check_database(settings.database)  # before the model is loaded: a refusal takes no time
    classifier = classifier_of(settings)
    worker = Worker(settings, classifier)

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
    worker.run(drain=drain, ready=lambda: stop_on_signals(worker.stop))
    log.info("drained" if drain else "stopped")
    end_now()
