"""The worker's settings: read once from the environment, checked here, listed in the README (a test compares)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

ENGINES = ("auto", "litert", "savedmodel")
LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")

_SHIPPED = Path(__file__).resolve().parents[1] / "model" / "artifacts" / "fashion-mnist"


class SettingsError(ValueError):
    """A variable holds what is not allowed; the sentence names the variable, the value and what is."""


def _setting(variable: str, default: Any, allowed: str, ok: Callable[[Any], bool]) -> Any:
    return field(default=default, metadata={"variable": variable, "allowed": allowed, "ok": ok})


def _between(low: float, high: float) -> Callable[[Any], bool]:
    return lambda value: bool(low <= value <= high)


@dataclass(frozen=True, slots=True)
class Settings:
    """What the worker may be told. Bytes, seconds and milliseconds as each variable's name says."""

    project: str = _setting("GOOGLE_CLOUD_PROJECT", "", "a project id (needed unless the names below are full)", bool)
    response_topic: str = _setting("RESPONSE_TOPIC", "res_predict", "a topic name, or projects/P/topics/T", bool)
    request_subscription: str = _setting(
        "REQUEST_SUBSCRIPTION", "req_predict-sub", "a subscription name, or projects/P/subscriptions/S", bool
    )
    dead_subscription: str = _setting(
        "DEAD_SUBSCRIPTION", "dead_predict-announce", "a subscription name, or projects/P/subscriptions/S", bool
    )
    artifact: str = _setting("ARTIFACT", str(_SHIPPED), "a folder, or gs://bucket/prefix", bool)
    artifact_cache: str = _setting("ARTIFACT_CACHE", "/tmp/artifacts", "a folder that may be written", bool)
    engine: str = _setting("ENGINE", "auto", "auto, litert or savedmodel", lambda value: value in ENGINES)
    engine_threads: int = _setting("ENGINE_THREADS", 1, "a whole number from 1 to 64", _between(1, 64))
    max_batch_size: int = _setting("MAX_BATCH_SIZE", 8, "a whole number from 1 to 256", _between(1, 256))
    max_wait_ms: float = _setting("MAX_WAIT_MS", 0.0, "milliseconds from 0 to 1000", _between(0, 1000))
    max_image_bytes: int = _setting(
        "MAX_IMAGE_BYTES", 20_000_000, "bytes from 1000 to 32000000", _between(1_000, 32_000_000)
    )
    decode_bytes: int = _setting(
        "DECODE_BYTES", 200_000_000, "bytes from 50000000 to 16000000000", _between(50_000_000, 16_000_000_000)
    )
    pull_max_messages: int = _setting("PULL_MAX_MESSAGES", 64, "a whole number from 1 to 1000", _between(1, 1000))
    pull_max_bytes: int = _setting(
        "PULL_MAX_BYTES", 64_000_000, "bytes from 10000000 to 1000000000", _between(10_000_000, 1_000_000_000)
    )
    log_level: str = _setting("LOG_LEVEL", "INFO", "DEBUG, INFO, WARNING or ERROR", lambda value: value in LOG_LEVELS)

    def __post_init__(self) -> None:
        named = (self.response_topic, self.request_subscription, self.dead_subscription)
        for each in fields(self):
            if each.name == "project" and all(name.startswith("projects/") for name in named):
                continue
            value = getattr(self, each.name)
            if not each.metadata["ok"](value):
                raise SettingsError(f"{each.metadata['variable']} is {value!r}; it must be {each.metadata['allowed']}")

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Settings:
        """Read the settings; what is not set (or empty) has its default. Raises SettingsError."""
        given: dict[str, Any] = {}
        for each in fields(cls):
            text = environ.get(each.metadata["variable"], "").strip()
            if not text:
                continue
            try:
                parse: Callable[[str], Any] = type(each.default)
                given[each.name] = parse(text)
            except ValueError:
                raise SettingsError(
                    f"{each.metadata['variable']} is {text!r}; it must be {each.metadata['allowed']}"
                ) from None
        return cls(**given)

    def topic_path(self, name: str) -> str:
        """`projects/P/topics/T` for a topic's name or full name."""
        return name if name.startswith("projects/") else f"projects/{self.project}/topics/{name}"

    def subscription_path(self, name: str) -> str:
        """`projects/P/subscriptions/S` for a subscription's name or full name."""
        return name if name.startswith("projects/") else f"projects/{self.project}/subscriptions/{name}"


def rows() -> list[tuple[str, str, str]]:
    """Variable, default and what is allowed, for the README's table."""
    shown = {str(_SHIPPED): "the shipped model"}
    return [
        (each.metadata["variable"], shown.get(str(each.default), str(each.default)), each.metadata["allowed"])
        for each in fields(Settings)
    ]
