"""Reads fields of a YAML file with their types; errors name the field, its value and the allowed values."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import Any

_SECONDS = re.compile(r"(\d+(?:\.\d+)?)s")
_MISSING: Any = object()


class TopologyError(ValueError):
    """The file is not a valid topology; the message names the field, its value and the allowed values."""


class Fields:
    """One mapping of the file. Read its fields, then call `done`, which rejects all other fields."""

    def __init__(self, path: str, content: object) -> None:
        self._path = path
        if not isinstance(content, dict):
            raise TopologyError(f"{path or 'the file'} is {content!r}; it must be a mapping")
        self._content: dict[object, Any] = content
        self._asked: set[object] = set()

    @property
    def name(self) -> str:
        """The mapping's own key."""
        return self._path.rpartition(".")[2]

    def items(self, key: str) -> Iterator[Fields]:
        """The mappings in the mapping `key`; none when it is absent."""
        content = self._get(key, {})
        if not isinstance(content, dict):
            raise self.wrong(key, "a mapping")
        for name, each in content.items():
            yield Fields(self._join(f"{key}.{name}"), each)

    def part(self, key: str) -> Fields | None:
        """The mapping `key`, or None when it is absent."""
        content = self._get(key, None)
        return None if content is None else Fields(self._join(key), content)

    def text(self, key: str, default: str = _MISSING) -> str:
        """A non-empty string."""
        value = self._get(key, default)
        if value is not default and (not isinstance(value, str) or not value):
            raise self.wrong(key, "a text")
        return str(value)

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of strings."""
        value = self._get(key, _MISSING)
        if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
            raise self.wrong(key, "a list of texts")
        return tuple(value)

    def choice(self, key: str, allowed: Collection[str]) -> str:
        """One of the allowed strings."""
        value = self._get(key, _MISSING)
        if value not in allowed:
            raise self.wrong(key, f"one of {', '.join(allowed)}")
        return str(value)

    def number(self, key: str, low: int, high: int, *, default: int = _MISSING) -> int:
        """A whole number from `low` to `high`."""
        value = self._get(key, default)
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise self.wrong(key, f"a whole number from {low} to {high}")
        return value

    def seconds(self, key: str, default: float = _MISSING) -> float:
        """A duration such as 10s."""
        value = self._get(key, default)
        if value is default:
            return float(default)
        match = _SECONDS.fullmatch(value) if isinstance(value, str) else None
        if not match:
            raise self.wrong(key, "a duration such as 10s")
        return float(match[1])

    def done(self) -> None:
        """Reject fields that were not read, because a misspelt field would silently have no effect."""
        for key in self._content:
            if key not in self._asked:
                raise TopologyError(f"{self._join(str(key))} is unknown; known fields are {', '.join(self._known())}")

    def wrong(self, key: str, allowed: str) -> TopologyError:
        """The error for a value of `key` that is not allowed."""
        return TopologyError(f"{self._join(key)} is {self._content.get(key)!r}; it must be {allowed}")

    def _known(self) -> list[str]:
        return sorted(str(key) for key in self._asked)

    def _get(self, key: str, default: Any) -> Any:
        self._asked.add(key)
        value = self._content.get(key, default)
        if value is _MISSING:
            raise TopologyError(f"{self._join(key)} is missing")
        return value

    def _join(self, key: str) -> str:
        return f"{self._path}.{key}" if self._path else key
