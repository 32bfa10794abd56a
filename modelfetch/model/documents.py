"""Frozen dataclasses out of JSON documents: how a request and its answers cross the border of a process.

- What is read has the declared fields with the declared types, or it is not read: a child that runs a stranger's code
  may write anything.
"""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import StrEnum
from functools import cache
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

Value = TypeVar("Value")


def read_value(document: Any, kind: type[Value]) -> Value:
    """A frozen dataclass from the JSON object that `dataclasses.asdict` made of it.

    Raises:
        ValueError: a field is missing, unknown, or of another type than it is declared to be.
    """
    value = _read(document, kind)
    assert isinstance(value, kind)
    return value


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


def _read(value: Any, hint: Any) -> Any:
    if get_origin(hint) is types.UnionType:
        return _read_union(value, get_args(hint))
    if get_origin(hint) is tuple:
        return _read_tuple(value, get_args(hint))
    if get_origin(hint) is Mapping and isinstance(value, dict):
        return {_read(name, str): _read(item, get_args(hint)[1]) for name, item in value.items()}
    if is_dataclass(hint) and isinstance(value, dict):
        hints = _hints(hint)  # type: ignore[arg-type]  # is_dataclass narrows to an instance as well
        if unknown := value.keys() - {each.name for each in fields(hint)}:
            raise ValueError(f"unknown fields {sorted(unknown)}")
        return hint(**{name: _read(item, hints[name]) for name, item in value.items()})  # type: ignore[operator]
    return _read_plain(value, hint)


def _read_plain(value: Any, hint: Any) -> Any:
    if hint is float and type(value) in {int, float}:
        return float(value)
    if isinstance(hint, type) and issubclass(hint, StrEnum) and isinstance(value, str):
        return hint(value)
    if isinstance(hint, type) and type(value) is hint:
        return value
    raise ValueError(f"{value!r:.80} is not {hint}")


def _read_union(value: Any, hints: tuple[Any, ...]) -> Any:
    for hint in hints:
        try:
            return _read(value, hint)
        except ValueError:
            continue
    raise ValueError(f"{value!r:.80} is none of {hints}")


def _read_tuple(value: Any, hints: tuple[Any, ...]) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise ValueError(f"{value!r:.80} is not a list")
    if len(hints) == 2 and hints[1] is Ellipsis:
        return tuple(_read(item, hints[0]) for item in value)
    return tuple(_read(item, hint) for item, hint in zip(value, hints, strict=True))
