"""Reading typed fields out of decoded JSON, with the message and path that OpenAI's clients show."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from servicekit.errors import Reason, SixfoldError

_JSON_NAMES: dict[type, str] = {
    dict: "an object",
    list: "an array",
    str: "a string",
    bool: "a boolean",
    int: "an integer",
    float: "a number",
    type(None): "null",
}


def wrong_type(path: str, expected: str, value: object) -> SixfoldError:
    """A field of the wrong JSON type. Names both types, never the value."""
    got = _JSON_NAMES.get(type(value), "something else")
    return SixfoldError(
        Reason.INVALID_REQUEST,
        f"Invalid type for '{path}': expected {expected}, but got {got} instead.",
        param=path,
    )


def invalid(path: str, message: str) -> SixfoldError:
    """A field of the right type and a value that cannot be."""
    return SixfoldError(Reason.INVALID_REQUEST, f"Invalid '{path}': {message}", param=path)


def missing(path: str) -> SixfoldError:
    """A field that must be there."""
    return SixfoldError(Reason.INVALID_REQUEST, f"Missing required parameter: '{path}'.", param=path)


def unsupported(path: str, message: str) -> SixfoldError:
    """A field that is right and that nothing here can do."""
    return SixfoldError(Reason.UNSUPPORTED_PARAMETER, message, param=path)


def text(body: dict[str, Any], key: str, path: str | None = None, *, longest: int = 0) -> str | None:
    """A string, or None when it is absent or null."""
    value = body.get(key)
    if value is None:
        return None
    if not isinstance(value, str):
        raise wrong_type(path or key, "a string", value)
    if longest and len(value) > longest:
        raise invalid(path or key, f"longer than {longest} characters.")
    return value


def required_text(body: dict[str, Any], key: str, path: str | None = None, *, longest: int = 256) -> str:
    """A string that must be there and must not be empty."""
    value = text(body, key, path, longest=longest)
    if value is None:
        raise missing(path or key)
    if not value:
        raise invalid(path or key, "must not be empty.")
    return value


def flag(body: dict[str, Any], key: str, path: str | None = None) -> bool | None:
    """A boolean, or None when it is absent or null."""
    value = body.get(key)
    if value is None or isinstance(value, bool):
        return value
    raise wrong_type(path or key, "a boolean", value)


def integer(body: dict[str, Any], key: str, low: int, high: int, path: str | None = None) -> int | None:
    """An integer within [low, high], or None when it is absent or null."""
    value = body.get(key)
    if value is None:
        return None
    if type(value) is not int:
        raise wrong_type(path or key, "an integer", value)
    if not low <= value <= high:
        raise invalid(path or key, f"must lie between {low} and {high}.")
    return value


def number(body: dict[str, Any], key: str, low: float, high: float, path: str | None = None) -> float | None:
    """A number within [low, high], or None when it is absent or null."""
    value = body.get(key)
    if value is None:
        return None
    if type(value) is not float and type(value) is not int:
        raise wrong_type(path or key, "a number", value)
    if not low <= value <= high:
        raise invalid(path or key, f"must lie between {low:g} and {high:g}.")
    return float(value)


def obj(body: dict[str, Any], key: str, path: str | None = None) -> dict[str, Any] | None:
    """An object, or None when it is absent or null."""
    value = body.get(key)
    if value is None or isinstance(value, dict):
        return value
    raise wrong_type(path or key, "an object", value)


def array(body: dict[str, Any], key: str, path: str | None = None, *, longest: int) -> list[Any] | None:
    """An array of at most `longest` entries, or None when it is absent or null."""
    value = body.get(key)
    if value is None:
        return None
    if not isinstance(value, list):
        raise wrong_type(path or key, "an array", value)
    if len(value) > longest:
        raise invalid(path or key, f"more than {longest} entries.")
    return value


def one_of(value: str, path: str, allowed: Sequence[str]) -> str:
    """`value`, if it is one of `allowed`."""
    if value not in allowed:
        names = ", ".join(f"'{name}'" for name in allowed)
        raise invalid(path, f"supported values are: {names}.")
    return value
