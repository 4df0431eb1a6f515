"""One process of a replay: a worker on its stretch of the logs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from worker.pipeline import Worker
from worker.pipeline.backfill import Backfill, Pace
from worker.replay.begin import window
from worker.replay.live import LiveLag
from worker.replay.standing import Noting
from worker.store import replays
from worker.store.interface import ReplayTurn
from worker.store.session import Session

if TYPE_CHECKING:
    from collections.abc import Callable

    from worker.classifier import Classifier
    from worker.replay.standing import Standing
    from worker.settings import Settings
    from worker.store.replays import Replay


class Replaying:
    """Works on a replay until it is done, by whomever, or until told to stop.

    Args:
        settings: All of them; group and topics are the replay's.
        classifier: What labels the posts.
        replay: As `begin` returned it.
        rate: Posts a second that this process may take; None: as many as it can.
        most_live_lag: Records that the live stream may be behind before the replay waits for it.
    """

    def __init__(
        self,
        settings: Settings,
        classifier: Classifier,
        replay: Replay,
        *,
        rate: float | None,
        most_live_lag: int,
    ) -> None:
        self._name = replay.plan.name
        self._session = Session(settings.database, name="emotion-worker replay progress")
        watching = Session(settings.database, name="emotion-worker replay live lag")
        plan = replay.plan
        self._settings = settings.model_copy(
            update={
                "group": plan.group,
                "topics": plan.topics,
                # Its positions stand; one that retention has overtaken goes on at the start.
                "auto_offset_reset": "earliest",
                "adopt_committed": False,
                "maintain_seconds": 0.0,
            }
        )
        self._live = LiveLag(self._settings, watching, most_live_lag)
        stretches = self._session.run(lambda c: replays.read_stretches(c, plan.name))
        self._worker = Worker(
            self._settings,
            classifier,
            backfill=Backfill(
                window({one.partition: one.end for one in stretches}, plan.since, plan.until),
                ReplayTurn(plan.name, replay.revision),
                generation=replay.generation or 0,
                shadow=plan.kind == "shadow",
                pace=Pace(rate, self._live.yields),
            ),
        )

    def stop(self) -> None:
        """Ends this process's work within 10 s; safe to call from a signal handler."""
        self._worker.stop()

    def run(
        self, *, ready: Callable[[], None] | None = None, report: Callable[[Standing], None]
    ) -> tuple[Standing, bool]:
        """Works.

        Args:
            ready: Called once the group is being joined.
            report: Called with how far the replay is, from another thread.

        Returns:
            How far it is in the end, and whether it has read all.

        Raises:
            WorkerError: What it cannot go on from, or the replay was taken away.
        """
        noting = Noting(
            self._session,
            self._name,
            report=report,
            stop=self._worker.stop,
            waits=self._live.yields,
        )
        with self._live, noting:
            self._worker.run(drain=True, ready=ready)
        return noting.final()
