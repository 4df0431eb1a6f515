"""`emotion-worker forget`: erases posts everywhere, and remembers not to resurrect them."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - click reads it at run time

import click

from worker.commands.options import env_file_option
from worker.errors import SettingsError
from worker.posts.decode import MAX_ID_CHARS
from worker.settings import load_settings
from worker.store.forget import forget
from worker.store.session import Session


@click.command()
@click.option(
    "--post", "posts", metavar="PLATFORM:ID", multiple=True, help="A post. May be given again."
)
@click.option(
    "--author",
    "authors",
    metavar="ID",
    multiple=True,
    help="All posts of an author, by the id that the platform gives. Needs WORKER_AUTHOR_KEY.",
)
@env_file_option
def command(*, posts: tuple[str, ...], authors: tuple[str, ...], env_file: Path | None) -> None:
    """Erase posts from labels, trends and dead letters, for good.

    Only keyed hashes are kept, so that no duplicate, edit, retry or replay brings them back. It may
    run beside workers, and again after a crash. The records on Kafka are not ours to erase.
    """
    if not posts and not authors:
        raise click.UsageError("Say what to forget: --post PLATFORM:ID or --author ID.")
    settings = load_settings(env_file)
    identities = {_identity(post) for post in posts}
    ids = {_name(author, "--author") for author in authors}
    key = settings.author_secret
    if authors and key is None:
        raise SettingsError(
            "WORKER_AUTHOR_KEY is not set: authors are known here only by a hash with that key. "
            "Set the key that the workers have."
        )
    with Session(
        settings.database,
        name="emotion-worker forget",
        writes=True,
        author_key=None if key is None else key.encode(),
    ) as session:
        done = forget(session, identities, ids)
    click.echo(
        f"forgotten: {done.labels} labels with their share of the trends, {done.posts} identities, "
        f"the bytes of {done.dead_letters} dead letters; {done.remembered} hashes newly remembered"
    )


def _identity(post: str) -> tuple[str, str]:
    platform, colon, post_id = post.partition(":")
    if not colon:
        raise click.BadParameter("give PLATFORM:ID, as twitter:1234", param_hint="--post")
    return _name(platform, "--post"), _name(post_id, "--post")


def _name(given: str, option: str) -> str:
    """An id or a platform as the decoder lets them pass."""
    if not 0 < len(given) <= MAX_ID_CHARS or any("\ud800" <= char <= "\udfff" for char in given):
        raise click.BadParameter(
            f"ids and platforms have 1 to {MAX_ID_CHARS} characters, in UTF-8", param_hint=option
        )
    return given
