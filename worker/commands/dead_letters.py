"""`emotion-worker dead-letters`: the rejected records, and what is to become of them."""

from __future__ import annotations

import json
import os
import socket
import sys
from collections import Counter
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path  # noqa: TC003 - click reads it at run time
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from worker.commands.models import classifier_of
from worker.commands.options import env_file_option, setting_option
from worker.commands.tables import plain_table, print_table
from worker.errors import WorkerError
from worker.posts.formats import by_topic
from worker.settings import load_settings
from worker.spans import format_age
from worker.store import dead_letters
from worker.store.dead_letters import Selection
from worker.store.session import Session

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.table import Table

    from worker.store.dead_letters import Group, Letter

_ID = click.IntRange(1, 2**63 - 1)
_SHOWN_BYTES = 4_096
_PAGE = 128
"""Dead letters in one transaction: each may hold a mebibyte."""


def _which(function: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options that choose dead letters."""
    for option in (
        click.option("--fingerprint", help="Only those with this cause."),
        click.option("--reason", help="Only those with this reason, as bad_json."),
        click.option("--topic", help="Only those that came from this topic."),
    ):
        function = option(function)
    return function


@click.group(invoke_without_command=True)
@click.pass_context
def command(ctx: click.Context) -> None:
    """Show the rejected records by cause; look at one, retry them after a fix, or drop them."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_)


@command.command("list")
@_which
@click.option(
    "--state",
    type=click.Choice(["new", "retried", "dropped", "all"]),
    default="new",
    show_default=True,
    help="Which ones.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON array instead of a table.")
@env_file_option
def list_(
    *,
    state: str = "new",
    as_json: bool = False,
    env_file: Path | None = None,
    fingerprint: str | None = None,
    reason: str | None = None,
    topic: str | None = None,
) -> None:
    """List dead letters by cause: how many, since when, and what is wrong with them."""
    with _session(env_file) as session:
        groups = dead_letters.groups(
            session,
            Selection(
                state=None if state == "all" else state,
                fingerprint=fingerprint,
                reason=reason,
                topic=topic,
            ),
        )
    if as_json:
        click.echo(json.dumps([asdict(group) for group in groups], default=_plain))
        return
    if not groups:
        click.echo("There are no dead letters" + (f" ({state})." if state != "all" else "."))
        return
    print_table(_table(groups))
    click.echo(
        "emotion-worker dead-letters show ID    looks at one; retry and drop take --fingerprint"
    )


@command.command()
@click.argument("ids", metavar="ID...", type=_ID, nargs=-1, required=True)
@click.option("--raw", is_flag=True, help="Nothing but the value's bytes.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line; bytes as hex.")
@env_file_option
def show(*, ids: tuple[int, ...], raw: bool, as_json: bool, env_file: Path | None) -> None:
    """Show dead letters whole: where each lay, why it was rejected, and its bytes.

    The bytes are a person's post: they are shown here and nowhere else.
    """
    with _session(env_file) as session:
        letters = dead_letters.page(
            session, Selection(state=None, ids=ids), after=0, limit=len(ids)
        )
    missing = sorted(set(ids) - {letter.id for letter in letters})
    if missing:
        raise WorkerError(
            f"There is no dead letter {', '.join(map(str, missing))}. "
            "`emotion-worker dead-letters list` shows one of each cause."
        )
    for letter in letters:
        if raw:
            sys.stdout.buffer.write(letter.value or b"")
        elif as_json:
            click.echo(json.dumps(asdict(letter), default=_plain))
        else:
            _show(letter)


@command.command()
@click.argument("ids", metavar="[ID]...", type=_ID, nargs=-1)
@_which
@setting_option("group", help="Whose ledger counts the retry. Overrides WORKER_GROUP.")
@setting_option("model", metavar="BUNDLE")
@setting_option("device")
@env_file_option
def retry(
    *,
    ids: tuple[int, ...],
    fingerprint: str | None,
    reason: str | None,
    topic: str | None,
    env_file: Path | None,
    **flags: str | None,
) -> int:
    """Read dead letters again, after a fix; all new ones, unless some are chosen.

    What has become a post by now is labelled and counted exactly once, wherever it is stopped, and
    beside running workers; its dead letter is `retried`. What is rejected still stays, with its
    present reason. Exits 1 if there was something to retry and all of it is rejected still.
    """
    settings = load_settings(env_file, **flags)
    selection = Selection(ids=ids or None, fingerprint=fingerprint, reason=reason, topic=topic)
    with _session(env_file) as session:
        groups = dead_letters.groups(session, selection)
        total = sum(group.count for group in groups)
        if not total:
            click.echo("There is no such new dead letter: nothing to retry.")
            return 0

        from worker.pipeline.labelling import label_items  # noqa: PLC0415 - torch takes seconds
        from worker.pipeline.retry import Retry  # noqa: PLC0415
        from worker.store.postgres import PostgresStore  # noqa: PLC0415

        classifier = classifier_of(settings)
        store = PostgresStore(
            settings.database,
            group=settings.group,
            author_key=settings.author_secret,
            store_text=settings.store_text,
        )
        try:
            run = Retry(
                store,
                lambda items: label_items(classifier, items),
                model_id=store.register_model(classifier.info),
                owner=f"retry {socket.gethostname()}:{os.getpid()}",
                decode=by_topic(settings.formats or ()),
            )
            outcomes, without, settled = Counter[str](), 0, 0
            for letters in _progress(dead_letters.pages(session, selection, _PAGE), total):
                turned = run.turn(letters)
                outcomes += turned.outcomes
                without += turned.without_bytes
                settled += turned.settled
        finally:
            store.close()
    return _say(outcomes, without, settled)


@command.command()
@click.argument("ids", metavar="[ID]...", type=_ID, nargs=-1)
@_which
@click.option("--all", "everything", is_flag=True, help="All new ones.")
@env_file_option
def drop(
    *,
    ids: tuple[int, ...],
    fingerprint: str | None,
    reason: str | None,
    topic: str | None,
    everything: bool,
    env_file: Path | None,
) -> None:
    """Mark dead letters as dropped: nobody means to retry them. They leave with retention."""
    if not (ids or fingerprint or reason or topic or everything):
        raise click.UsageError(
            "Say which: ids, --fingerprint, --reason, --topic, or --all. "
            "`emotion-worker dead-letters list` shows what there is."
        )
    with _session(env_file) as session:
        dropped = dead_letters.drop(
            session,
            Selection(ids=ids or None, fingerprint=fingerprint, reason=reason, topic=topic),
        )
    click.echo(f"{dropped} dead letters dropped")


def _session(env_file: Path | None) -> Session:
    return Session(load_settings(env_file).database, name="emotion-worker dead-letters")


def _progress(pages: Iterator[list[Letter]], total: int) -> Iterator[list[Letter]]:
    with Progress(
        TextColumn("retrying"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
        disable=not sys.stderr.isatty(),
    ) as progress:
        task = progress.add_task("", total=total)
        for page in pages:
            yield page
            progress.advance(task, len(page))


def _say(outcomes: Counter[str], without: int, settled: int) -> int:
    rejected = outcomes.pop("dead_lettered", 0)
    done = outcomes.total()
    became = ", ".join(f"{count} {name}" for name, count in outcomes.most_common())
    click.echo(f"{done} retried" + (f": {became}" if became else ""))
    if rejected:
        click.echo(f"{rejected} are rejected still; `dead-letters list` says why")
    if without:
        click.echo(f"{without} cannot be retried: their bytes are not kept (over 1 MiB)")
    if settled:
        click.echo(f"{settled} were settled by another hand meanwhile")
    return 1 if not done and (rejected or without) else 0


def _table(groups: list[Group]) -> Table:
    table = plain_table()
    table.add_column("count", justify="right")
    table.add_column("reason", no_wrap=True)
    table.add_column("what is wrong")
    for name in ("from", "oldest", "newest"):
        table.add_column(name)
    table.add_column("tries", justify="right")
    table.add_column("newest id", justify="right")
    table.add_column("fingerprint", no_wrap=True)
    now = datetime.now(UTC)
    for group in groups:
        table.add_row(
            str(group.count),
            group.reason,
            group.detail,
            ", ".join(group.topics),
            format_age(now - group.oldest),
            format_age(now - group.newest),
            str(group.attempts),
            str(group.sample),
            group.fingerprint,
        )
    return table


def _show(letter: Letter) -> None:
    ref = letter.ref
    written = "-" if letter.kafka_timestamp is None else letter.kafka_timestamp.isoformat()
    rows = (
        ("dead letter", f"{letter.id} ({letter.state}, {letter.attempts} attempts)"),
        ("record", f"{ref.topic}/{ref.partition} offset {ref.offset}, topic id {ref.topic_id}"),
        ("written", written),
        ("reason", f"{letter.reason}: {letter.detail}"),
        ("fingerprint", letter.fingerprint),
        ("key", "null" if letter.key is None else _text(letter.key)),
        ("value", _value(letter)),
    )
    for name, said in rows:
        click.echo(f"{name:<12} {said}")
    if letter.value:
        click.echo(_text(letter.value))
    click.echo()


def _value(letter: Letter) -> str:
    if letter.value_length is None:
        return "null"
    digest = "" if letter.value_sha256 is None else f", SHA-256 {letter.value_sha256.hex()}"
    kept = "" if letter.value is not None else "; its bytes are not kept"
    return f"{letter.value_length} bytes{digest}{kept}"


def _text(raw: bytes) -> str:
    shown = raw[:_SHOWN_BYTES].decode("utf-8", "backslashreplace")
    # Control characters of a stranger's bytes must not command the terminal.
    plain = "".join(
        char if char.isprintable() or char == "\n" else repr(char)[1:-1] for char in shown
    )
    more = len(raw) - _SHOWN_BYTES
    return plain + (f"\n... and {more} bytes more (--raw)" if more > 0 else "")


def _plain(value: object) -> str:
    if isinstance(value, bytes):
        return value.hex()
    return value.isoformat() if isinstance(value, datetime) else str(value)
