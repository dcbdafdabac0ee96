"""Reads the fields of a model's JSON configuration. A value that cannot be used is refused by its name."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from model.text import decode_text, quoted
from model.training.errors import SourceError
from model.training.importing.label_file import without_repeats
from model.training.importing.unpacking import parse_json, read_small


class Fields:
    """The fields of a JSON object. `where`: the file, and the object in it, as messages name them.

    Methods raise SourceError, which names the field, its value and the allowed ones, also when it is missing and there
    is no default. A field that is null is missing.
    """

    def __init__(self, values: Mapping[str, Any], where: str) -> None:
        self.values, self.where = {key: value for key, value in values.items() if value is not None}, where

    def __contains__(self, name: str) -> bool:
        return name in self.values

    def truth(self, name: str, default: bool | None = None) -> bool:
        """True or false."""
        value = self._value(name, default, "true or false")
        if not isinstance(value, bool):
            raise self.wrong(name, "true or false")
        return value

    def count(self, name: str, default: int | None = None) -> int:
        """A whole number above 0, for instance of pixels."""
        allowed = "a whole number above 0"
        value = self._value(name, default, allowed)
        if not _is_count(value):
            raise self.wrong(name, allowed)
        return int(value)

    def counts(self, name: str, default: tuple[int, ...], *, zero: bool = False) -> tuple[int, ...]:
        """A list of whole numbers above 0. `zero`: whether they may be 0, and the list empty."""
        allowed = f"a list of whole numbers {'from' if zero else 'above'} 0"
        value = self._value(name, default, allowed)
        if not isinstance(value, list | tuple) or not (value or zero):
            raise self.wrong(name, allowed)
        if not all(_is_count(number) or (zero and type(number) is int and number == 0) for number in value):
            raise self.wrong(name, allowed)
        return tuple(value)

    def check_divides(self, name: str, number: int, whole: int, what: str) -> None:
        """Raise SourceError unless a number of this field divides `whole`, which is `what`."""
        if whole % number:
            raise self.wrong(name, f"a divisor of {whole}, {what}")

    def number(self, name: str, default: float | None = None, *, zero: bool = False) -> float:
        """A number above 0. `zero`: whether it may be 0."""
        allowed = f"a number {'from' if zero else 'above'} 0"
        value = self._value(name, default, allowed)
        if not _is_number(value) or value < 0 or (value == 0 and not zero):
            raise self.wrong(name, allowed)
        return float(value)

    def colours(self, name: str, default: tuple[float, ...] | None = None, *, zero: bool = True) -> tuple[float, ...]:
        """Three numbers, for red, green and blue; one number counts for all three. `zero`: whether one may be 0."""
        allowed = f"three numbers{'' if zero else ' other than 0'}, for red, green and blue"
        value = self._value(name, default, allowed)
        each = tuple(value) if isinstance(value, list | tuple) else (value,) * 3
        if len(each) != 3 or not all(map(_is_number, each)) or (not zero and 0 in each):
            raise self.wrong(name, allowed)
        return each

    def object(self, name: str) -> Fields:
        """An object in the object."""
        value = self._value(name, None, "an object")
        if not isinstance(value, Mapping):
            raise self.wrong(name, "an object")
        return Fields(value, f"{self.where}, {name}")

    def one_of(self, name: str, allowed: Collection[str], default: str) -> str:
        """One of the allowed texts."""
        value = self._value(name, default, "")
        if not isinstance(value, str) or value not in allowed:
            raise self.wrong(name, f"one of: {', '.join(allowed)}")
        return value

    def wrong(self, name: str, allowed: str) -> SourceError:
        """The error for a field that is missing, or whose value is not allowed."""
        value = f"is {quoted(self.values[name])}" if name in self.values else "is missing"
        return SourceError(f"{self.where}: {name} {value}; it must be {allowed}")

    def _value(self, name: str, default: Any, allowed: str) -> Any:
        if name not in self.values and default is None:
            raise self.wrong(name, allowed)
        return self.values.get(name, default)


def read_fields(path: Path) -> Fields:
    """The JSON object in a file. Raises SourceError when the file cannot be read or holds something else."""
    try:
        found = parse_json(decode_text(read_small(path)), str(path), without_repeats)
    except OSError as exc:
        raise SourceError(f"{path} cannot be read: {exc.strerror}") from exc
    except json.JSONDecodeError as exc:
        raise SourceError(f"{path} is not JSON: {exc.msg}, line {exc.lineno}") from exc
    except ValueError as exc:
        raise SourceError(f"{path} cannot be used: {exc}") from exc
    if not isinstance(found, dict):
        raise SourceError(f"{path} holds {quoted(found)}; it must be a JSON object")
    return Fields(found, str(path))


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _is_number(value: Any) -> bool:
    try:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:  # a whole number that no float can hold
        return False
