"""What can go wrong, in words for the person who has to mend it, and the exit code it ends with."""

from __future__ import annotations


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


class FencedError(WorkerError):
    """Another worker took a partition over: what this one meant to write was not written."""
