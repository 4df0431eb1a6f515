"""What a group needs to work: topics, a feed, and workers with the settings of the suite."""

from __future__ import annotations

from datetime import UTC, datetime
from random import Random
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tests.chaos import journal
from tests.chaos.feed import Feed
from tests.chaos.judgement import AUTHOR_KEY, GROUP
from tests.chaos.stream import Stream

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.chaos.ground import Ground
    from tests.chaos.plan import Plan


def make_feed(plan: Plan, ground: Ground) -> Feed:
    """The stream's producer, its topics made, the backlog sent; and the flight recorder set up."""
    with ground.connect() as connection:
        connection.execute(journal.RECORDER)
    # A broker of others' keeps what we leave there: other names each time.
    suffix = "" if ground.own_broker else ground.database.removeprefix("chaos")
    topics = [f"chaos-a{suffix}", f"chaos-b{suffix}"]
    day = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    messages = iter(
        Stream(Random(f"{plan.seed} stream"), topics, plan.partitions, day=day, hot=plan.hot)
    )
    feed = Feed(ground.brokers, messages, topics, plan.partitions)
    feed.open()
    try:
        feed.send([next(messages) for _ in range(plan.backlog)])
    except BaseException:
        feed.close()
        raise
    return feed


def worker_settings(plan: Plan, ground: Ground, feed: Feed) -> Mapping[str, str]:
    """`WORKER_...` of each worker, the database's URL excepted."""
    return {
        "WORKER_KAFKA_BOOTSTRAP_SERVERS": ground.brokers,
        "WORKER_KAFKA_SESSION_TIMEOUT_MS": str(ground.session_ms),
        "WORKER_TOPICS": ",".join(feed.topics),
        "WORKER_GROUP": GROUP,
        "WORKER_ASSIGNOR": plan.assignor,
        "WORKER_MODEL": plan.model,
        "WORKER_BATCH_POSTS": str(plan.batch_posts),
        "WORKER_LINGER_MS": "20",
        "WORKER_AUTHOR_KEY": AUTHOR_KEY,
        "WORKER_STORE_TEXT": "true",
        "WORKER_METRICS_PORT": "0",
        "WORKER_LOG_FORMAT": "json",
    }


def through_proxy(url: str, port: int) -> str:
    """`url` with the proxy's address; in clear text, for the proxy reads along."""
    parts = urlsplit(url)
    account, _, _ = parts.netloc.rpartition("@")
    host = f"{account}@127.0.0.1:{port}" if account else f"127.0.0.1:{port}"
    return parts._replace(netloc=host, query="sslmode=disable&gssencmode=disable").geturl()
