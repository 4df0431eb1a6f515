"""What can go wrong, in words for the person who has to mend it, and the exit code it ends with."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class WorkerError(Exception):
    """An error whose message says what happened, where, and what to do next.

    The command line prints it without a stack trace and exits with `exit_code`.
    """

    exit_code = 1


class SettingsError(WorkerError):
    """A setting or an argument is wrong or missing; the message names it."""

    exit_code = 2


class DependencyError(WorkerError):
    """The broker, the database or the model could not be reached in time."""

    exit_code = 3


class StoreUnavailableError(DependencyError):
    """The database is away for the moment: nothing is lost, try again later."""


class ClaimBusyError(WorkerError):
    """The old owner's transaction still holds a partition that was to be claimed: try again."""


class SchemaError(WorkerError):
    """The database's schema is not the one that this version of the worker knows."""


class SourceUnavailableError(DependencyError):
    """The broker is away for the moment: nothing is lost, try again later."""


class OutOfLogError(WorkerError):
    """A position lies outside its log: retention took the records, or the log was cut.

    Args:
        message: What the broker said.
        partitions: Topics and partition numbers at fault, as far as they are known.
    """

    def __init__(self, message: str, partitions: Iterable[tuple[str, int]] = ()) -> None:
        super().__init__(message)
        self.partitions = tuple(partitions)


class ClassifierError(WorkerError):
    """The model failed on the texts it was given; one of them may be to blame."""
