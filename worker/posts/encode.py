"""Rows of files made messages on the wire, each checked by the decoder that will read it."""

from __future__ import annotations

import json
import re
import time
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from worker.errors import SettingsError
from worker.posts.decode import decode
from worker.posts.files import RowError
from worker.posts.foreign_times import NaiveTimeError, wire_time
from worker.posts.model import Post, Record, RecordRef, Rejection, Withdrawal
from worker.posts.wire import Message

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import tzinfo

    from worker.posts.files import Row

FIELDS: Final = tuple(Message.__annotations__)
"""The fields of a post on the wire."""
_REQUIRED: Final = ("id", "text", "created_at")
_TIMES: Final = frozenset({"created_at", "edited_at"})
_IDS: Final = frozenset({"id", "author_id"})
_TRUTH: Final = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


class PostEncoder:
    """Makes rows records of a topic.

    Args:
        topic: The topic: the default platform.
        columns: Column by field, where their names differ.
        constants: Values by field, for every row.
        zone: What to assume for times without a zone; None: they are errors.
        clock: Seconds since the epoch: what the broker will stamp records with.

    Raises:
        SettingsError: A field is none of a post's, or in both `columns` and `constants`.
    """

    def __init__(
        self,
        topic: str,
        *,
        columns: Mapping[str, str] | None = None,
        constants: Mapping[str, str] | None = None,
        zone: tzinfo | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._ref = RecordRef(topic, UUID(int=0), 0, 0)
        self._columns = dict(columns or {})
        self._constants = dict(constants or {})
        self._zone = zone
        self._clock = clock
        for field in (*self._columns, *self._constants):
            if field not in FIELDS:
                raise SettingsError(f"`{field}` is no field of a post: {', '.join(FIELDS)}.")
        for field in self._columns.keys() & self._constants.keys():
            raise SettingsError(f"`{field}` is given a column and a constant: leave one out.")

    def check_columns(self, path: object, present: tuple[str, ...]) -> None:
        """Checks the columns of a CSV before any of its rows.

        Raises:
            SettingsError: A mapped column is not there, or a required field has none.
        """
        there = f"The columns of {path} are: {', '.join(present)}."
        for field, column in self._columns.items():
            if column not in present:
                raise SettingsError(
                    f"There is no column `{column}` to take `{field}` from. {there}"
                )
        known = {*self._columns, *self._constants, *present}
        for field in _REQUIRED:
            if field not in known and (field == "id" or "deleted" not in known):
                raise SettingsError(
                    f"There is no column for `{field}`: name it with --map {field}=COLUMN. {there}"
                )

    def encode(self, row: Row) -> tuple[bytes, bytes]:
        """The key (`platform:id`) and the value of the row's record.

        A JSON line that is a post already stays as it is, if nothing is mapped.

        Raises:
            RowError: The row is no post, by the decoder's rules.
            SettingsError: The row has nothing where a required field should come from.
        """
        if row.line is not None and not self._columns and not self._constants:
            decoded = self._decode(row.line)
            if not isinstance(decoded, Rejection):
                return _key(decoded), row.line
        fields = self._fields(row)
        message = self._message(row, fields)
        # A lone surrogate in a JSON line is dropped, as the decoder would.
        value = json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode(
            errors="ignore"
        )
        decoded = self._decode(value)
        if not isinstance(decoded, Rejection):
            return _key(decoded), value
        if decoded.reason == "missing_field":
            field = next(name for name in _REQUIRED if message.get(name) is None)
            column = self._columns.get(field, field)
            if column not in fields:
                raise SettingsError(
                    f"{row.place}: there is no `{column}` to take `{field}` from, only "
                    f"{', '.join(fields) or 'an empty object'}. Name it with --map {field}=..."
                )
        raise RowError(f"{row.place}: {decoded.detail}")

    def _decode(self, value: bytes) -> Post | Withdrawal | Rejection:
        return decode(Record(self._ref, int(self._clock() * 1_000), None, value))

    def _fields(self, row: Row) -> Mapping[str, Any]:
        if row.cells is not None:
            # An empty cell is how CSV has no value; a text may be empty.
            return {name: cell if cell or name == self._columns.get("text", "text") else None
                    for name, cell in row.cells.items()}  # fmt: skip
        line = row.line or b""
        try:
            fields = json.loads(line.decode("utf-8-sig"))
        except (ValueError, RecursionError):
            fields = None
        if isinstance(fields, dict):
            return fields
        decoded = self._decode(line)
        detail = decoded.detail if isinstance(decoded, Rejection) else "The line is not JSON."
        raise RowError(f"{row.place}: {detail}")

    def _message(self, row: Row, fields: Mapping[str, Any]) -> dict[str, Any]:
        message: dict[str, Any] = {}
        for field in FIELDS:
            value = self._constants.get(field, fields.get(self._columns.get(field, field)))
            if value is not None:
                message[field] = self._converted(row, field, value)
        return message

    def _converted(self, row: Row, field: str, value: Any) -> Any:  # noqa: ANN401
        if field in _IDS and isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        if not isinstance(value, str):
            return value
        if field in _TIMES:
            try:
                return wire_time(value, self._zone)
            except NaiveTimeError:
                raise RowError(
                    f"{row.place}: `{field}` has no zone. Say which to assume: --timezone UTC, "
                    "or a name as Europe/Paris."
                ) from None
        if field == "hashtags":
            return [tag for tag in re.split(r"[,\s]+", value) if tag]
        if field == "deleted":
            return _TRUTH.get(value.strip().lower(), value)
        return value


def _key(decoded: Post | Withdrawal) -> bytes:
    return f"{decoded.platform}:{decoded.post_id}".encode()
