"""The names of models, versions and aliases, and references such as `clothing@stable`."""

from __future__ import annotations

import re
from dataclasses import dataclass

from model.errors import RegistryError
from model.text import quoted

_MODEL = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_VERSION = re.compile(r"[0-9][0-9A-Za-z._+-]{0,62}")
_ALIAS = re.compile(r"[a-z][a-z0-9_-]{0,62}")

# What each kind of name may be, for messages.
_SYNTAX = {
    "model": "1 to 63 of a-z, 0-9, '.', '_' and '-', and begin with one of a-z or 0-9",
    "version": "1 to 63 of A-Z, a-z, 0-9, '.', '_', '+' and '-', and begin with a digit",
    "alias": "1 to 63 of a-z, 0-9, '_' and '-', and begin with one of a-z",
}


@dataclass(frozen=True, slots=True)
class ModelRef:
    """A reference to a model: `NAME`, `NAME@ALIAS` or `NAME@VERSION`. `alias` or `version` is None, or both are."""

    name: str
    alias: str | None = None
    version: str | None = None

    def __str__(self) -> str:
        chosen = self.alias or self.version
        return f"{self.name}@{chosen}" if chosen else self.name


def parse_ref(text: str) -> ModelRef:
    """Read a reference. A name after `@` that begins with a digit is a version. Raises RegistryError."""
    name, mark, chosen = text.partition("@")
    check_model_name(name)
    if not mark:
        return ModelRef(name)
    if chosen[:1].isdigit():
        return ModelRef(name, version=check_version(chosen))
    return ModelRef(name, alias=check_alias(chosen))


def check_model_name(text: str) -> str:
    """Return the name of a model. Raises RegistryError."""
    return _checked("model", text, _MODEL)


def check_version(text: str) -> str:
    """Return a version. Raises RegistryError."""
    return _checked("version", text, _VERSION)


def check_alias(text: str) -> str:
    """Return the name of an alias. Raises RegistryError."""
    return _checked("alias", text, _ALIAS)


def is_model_name(text: str) -> bool:
    """Whether a text is the name of a model."""
    return bool(_MODEL.fullmatch(text))


def is_version(text: str) -> bool:
    """Whether a text is a version."""
    return bool(_VERSION.fullmatch(text))


def version_order(version: str) -> list[tuple[int, int, str]]:
    """A key that sorts versions: numbers by value, so that 1.10.0 comes after 1.9.0, and 2.0.0 after 2.0.0-rc1."""
    parts = re.findall(r"\d+|[^\d._+-]+", version)
    return [(1, int(part), "") if part.isdigit() else (-1, 0, part) for part in parts] + [(0, 0, "")]


def _checked(kind: str, text: str, syntax: re.Pattern[str]) -> str:
    if not syntax.fullmatch(text):
        raise RegistryError(f"the {kind} is {quoted(text)}; it must be {_SYNTAX[kind]}")
    return text
