"""Reads the price list, with what is known or assumed about the cloud's behaviour: prices.toml, or a user's file."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from client.gcp import UsageError
from model.text import printable, read_text, reason

SHIPPED = Path(__file__).with_name("prices.toml")


@dataclass(frozen=True, slots=True)
class Price:
    """A price: `usd` for one unit (`per`), after the units that are `free` each month."""

    usd: float
    per: str
    free: float
    date: str
    source: str


@dataclass(frozen=True, slots=True)
class Behaviour:
    """The cloud's behaviour in seconds, requests, shares and bytes, as each name says. The file holds the sources."""

    hop_s: float
    publish_s: float
    fetch_s: float
    placement_s: float
    push_window: float
    utilisation: float
    pool_utilisation: float
    job_billed_s: float
    request_log_bytes: float
    worker_log_bytes: float


@dataclass(frozen=True, slots=True)
class Prices:
    """A price list with its date."""

    date: str
    price: Mapping[str, Price]
    behaviour: Behaviour

    @classmethod
    def read(cls, path: Path = SHIPPED) -> Prices:
        """Read a file in the form of prices.toml. Raises UsageError, which names the file and the field."""
        shipped, given = _toml(SHIPPED), _toml(path)
        prices = {name: _price(given, name, path) for name in shipped["price"]}
        known = {name: _number(given, ("behaviour", name, "value"), path) for name in Behaviour.__slots__}
        for name in ("utilisation", "pool_utilisation"):
            if not 0 < known[name] <= 1:
                raise UsageError(f"behaviour.{name}.value in {path} is {known[name]:g}; it must be above 0, at most 1")
        if known["push_window"] < 1:
            raise UsageError(f"behaviour.push_window.value in {path} is {known['push_window']:g}; it must be from 1 up")
        return cls(str(given.get("date", "without a date")), prices, Behaviour(**known))


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(read_text(path))
    except OSError as exc:
        raise UsageError(f"prices cannot be read from {printable(str(path))}: {exc.strerror}") from None
    except ValueError as exc:  # not UTF-8, or not TOML
        raise UsageError(f"{printable(str(path))} is no TOML file: {reason(exc)}") from None


def _price(given: Mapping[str, Any], name: str, path: Path) -> Price:
    usd, free = (_number(given, ("price", name, field), path) for field in ("usd", "free"))
    price = given["price"][name]
    return Price(usd, str(price.get("per", "")), free, str(price.get("date", "")), str(price.get("source", "")))


def _number(given: Any, keys: tuple[str, ...], path: Path) -> float:
    value = given
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e15:
        shown = "missing" if value is None else printable(repr(value))
        raise UsageError(f"{'.'.join(keys)} in {printable(str(path))} is {shown}; it must be a number from 0 up")
    return float(value)
