"""Rules for the values of a configuration, and the reading of YAML files that follow them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import yaml

from model.text import read_text, reason
from model.training.errors import ConfigError

# A description of the allowed values, and a test of a value.
Rule = tuple[str, Callable[[Any], bool]]


def read_yaml(path: Path) -> object:
    """The content of a YAML file. Raises ConfigError when it cannot be read."""
    try:
        return yaml.safe_load(read_text(path))
    except OSError as exc:
        raise ConfigError(f"{path}: cannot be read: {exc.strerror}") from exc
    except (yaml.YAMLError, ValueError) as exc:
        raise ConfigError(f"{path}: not YAML: {reason(exc)}") from exc


def check_keys(
    values: object, rules: Mapping[str, Rule], needed: Iterable[str], what: str = "the configuration"
) -> dict[str, Any]:
    """`values` as a mapping with known keys, including all needed ones. Raises ConfigError, which names it `what`."""
    if not isinstance(values, dict):
        raise ConfigError(f"{what} is {values!r}; it must be a mapping of keys to values")
    for key in values:
        if key not in rules:
            raise ConfigError(f"{key!r} (value {values[key]!r}) is not a key; allowed are: {', '.join(sorted(rules))}")
    for key in needed:
        if key not in values:
            raise ConfigError(f"{key} is missing; it must be {rules[key][0]}")
    return values


def check_values(config: Any, rules: Mapping[str, Rule]) -> None:
    """Raise ConfigError unless every field of the dataclass follows its rule."""
    for field in fields(config):
        allowed, holds = rules[field.name]
        value = getattr(config, field.name)
        if not holds(value):
            raise ConfigError(f"{field.name} is {value!r}; it must be {allowed}")


def whole(low: int, high: int) -> Rule:
    return f"a whole number from {low} to {high}", lambda value: is_whole(value) and low <= value <= high


def number(low: float, high: float) -> Rule:
    return (
        f"a number from {low} to {high}",
        lambda value: (isinstance(value, float) or is_whole(value)) and low <= value <= high,
    )


def one_of(names: tuple[str, ...]) -> Rule:
    return "one of: " + ", ".join(names), lambda value: value in names


def text(pattern: str, allowed: str) -> Rule:
    return allowed, lambda value: isinstance(value, str) and re.fullmatch(pattern, value) is not None


def is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


NAME = text(r"[a-z0-9][a-z0-9-]{0,62}", "at most 63 characters of a-z, 0-9 and -")
VERSION = text(r"\d+\.\d+\.\d+", "three numbers such as 1.0.0")
