"""The message on the wire: a record's bytes to typed fields, in pydantic's strict mode."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, TypeVar

from pydantic import ConfigDict, FailFast, Field, TypeAdapter, ValidationError
from pydantic_core import from_json
from typing_extensions import TypedDict

from worker.posts.rejections import UnfitError

T = TypeVar("T")


class Message(TypedDict, total=False):
    """A post's fields, as typed on the wire; an absent field and a null one are the same.

    A typed dictionary validates twice as fast as a pydantic model.
    """

    __pydantic_config__ = ConfigDict(strict=True, extra="ignore")  # type: ignore[misc]

    id: Annotated[str | None, Field(description="Unique within its platform.")]
    text: Annotated[str | None, Field(description="May be empty.")]
    created_at: Annotated[str | int | float | None, Field(description="When it was posted.")]
    platform: Annotated[
        str | None, Field(description="Without a colon; default: the topic's name.")
    ]
    lang: Annotated[
        str | None,
        Field(
            description="BCP 47 tag, stored in the standard's letter case; empty, `und`: unknown."
        ),
    ]
    author_id: Annotated[str | None, Field(description="Empty means unknown.")]
    hashtags: Annotated[
        list[str] | None, FailFast(), Field(description="Default: those of the text.")
    ]
    edited_at: Annotated[
        str | int | float | None,
        Field(description="A later version replaces an earlier one; default: `created_at`."),
    ]
    deleted: Annotated[bool | None, Field(description="True: the post is withdrawn, for good.")]


_EXPECTED: Final = {
    "id": "a string",
    "text": "a string",
    "created_at": "a string or a number",
    "platform": "a string",
    "lang": "a string",
    "author_id": "a string",
    "hashtags": "a list of strings",
    "edited_at": "a string or a number",
    "deleted": "true or false",
}
_MESSAGE: Final = TypeAdapter(Message)
_BOM: Final = b"\xef\xbb\xbf"
_ESCAPE: Final = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"  # a pair: one character
    rb"|(u[dD][89a-fA-F][0-9a-fA-F]{2})"  # half of one, alone
    rb"|.)",
    re.DOTALL,
)
_POSITION: Final = re.compile(r" at line \d+ column \d+$")


class WrongShapeError(Exception):
    """A value is JSON, but not of the shape that it should have.

    Attributes:
        value: It, as it was parsed in the end.
        problem: What is wrong with its shape.
    """

    def __init__(self, value: bytes, problem: ValidationError) -> None:
        super().__init__("wrong shape")
        self.value = value
        self.problem = problem


def parse(value: bytes) -> Message:
    """The fields of a record's value; strings may still hold NUL, but never a surrogate.

    A leading byte order mark is skipped, of fields given twice the last one counts, and escapes
    of lone surrogates are dropped. Of a value with `"deleted": true` only the identity need be
    well typed.

    Raises:
        UnfitError: The value is not UTF-8, not JSON, no object, or has a field of a wrong type.
    """
    try:
        return validated(_MESSAGE, value)
    except WrongShapeError as error:
        return _withdrawal(error.value, error.problem)


def validated(shape: TypeAdapter[T], value: bytes) -> T:
    """The JSON in `value`, of that shape; `parse` says what becomes of odd characters.

    Raises:
        UnfitError: The value is not UTF-8, or not JSON.
        WrongShapeError: It has another shape.
    """
    if value.startswith(_BOM):
        value = value[len(_BOM) :]
    try:
        return shape.validate_json(value)
    except ValidationError as error:
        if _is_json(error):
            raise WrongShapeError(value, error) from None
        problem = error
    try:
        value.decode()
    except UnicodeDecodeError:
        raise UnfitError("bad_utf8", "The value is not UTF-8.", cause="value") from None
    mended = _without_lone_surrogates(value)
    if mended == value:
        raise _bad_json(problem)
    try:
        return shape.validate_json(mended)
    except ValidationError as error:
        if not _is_json(error):
            raise _bad_json(error) from None
        raise WrongShapeError(mended, error) from None


def _is_json(error: ValidationError) -> bool:
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    return first["type"] != "json_invalid"


def _without_lone_surrogates(value: bytes) -> bytes:
    r"""Makes each lone surrogate's escape one of NUL, which is removed later anyway.

    The parser refuses lone surrogates. `\u0000` is no more valid outside a string than the
    surrogate was, so that nothing becomes JSON by this that would not be JSON otherwise.
    """
    return _ESCAPE.sub(lambda match: rb"\u0000" if match[1] else match[0], value)


def _withdrawal(value: bytes, error: ValidationError) -> Message:
    """The identity in `value` if it is marked as deleted.

    Raises:
        UnfitError: It is not, or the identity is of a wrong type.
    """
    fields: Any = from_json(value)
    if not isinstance(fields, dict) or fields.get("deleted") is not True:
        raise _wrong_type(error) from None
    author = fields.get("author_id")
    identity = {
        "id": fields.get("id"),
        "platform": fields.get("platform"),
        "author_id": author if isinstance(author, str) else None,
        "deleted": True,
    }
    try:
        return _MESSAGE.validate_python(identity)
    except ValidationError as identity_error:
        raise _wrong_type(identity_error) from None


def _wrong_type(error: ValidationError) -> UnfitError:
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    if not first["loc"]:
        return UnfitError("not_object", "The value is JSON, but not an object.", cause="value")
    field = str(first["loc"][0])
    return UnfitError("wrong_type", f"`{field}` must be {_EXPECTED[field]}.", cause=field)


def _bad_json(error: ValidationError) -> UnfitError:
    message = error.errors(include_url=False, include_input=False)[0]["msg"]
    problem = message.removeprefix("Invalid JSON: ")
    return UnfitError(
        "bad_json", f"The value is not JSON: {problem}.", cause=_POSITION.sub("", problem)
    )
