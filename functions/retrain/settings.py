"""The settings of a training worker, from the environment and validated. docs/registry.md lists them; a test compares
both."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from functions.messages.contract import Envelope
from functions.messages.training import TrainingRequest, decode_training
from functions.settings import BUCKET, LOG_LEVELS, SettingsError

_SCHEME = "gs://"
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")


def _setting(variable: str, default: Any, allowed: str, ok: Callable[[Any], bool]) -> Any:
    return field(default=default, metadata={"variable": variable, "allowed": allowed, "ok": ok})


def _between(low: float, high: float) -> Callable[[Any], bool]:
    return lambda value: bool(low <= value <= high)


def _is_place(value: str) -> bool:
    """Whether a text is a folder's absolute path, or gs://bucket with or without a prefix; both without `..`."""
    if ".." in value.split("/") or "\0" in value:
        return False
    if value.startswith(_SCHEME):
        return bool(BUCKET.fullmatch(value.removeprefix(_SCHEME).partition("/")[0]))
    return value.startswith("/") and len(value) > 1


def _names(value: str) -> list[str]:
    return [name.strip() for name in value.split(",")] if value else []


def _is_request(value: str) -> bool:
    """Whether a text is empty, or a training request that leaves its id to the incident."""
    decoded = decode_training(Envelope("", value.encode(), {"request_id": "of the incident"}))
    return not value or (isinstance(decoded, TrainingRequest) and decoded.request_id == "of the incident")


@dataclass(frozen=True, slots=True)
class TrainSettings:
    """The settings, one field for each variable. The suffixes of names state the units: _bytes, _s."""

    project: str = _setting("GOOGLE_CLOUD_PROJECT", "", "a project id (needed unless the names below are full)", bool)
    response_topic: str = _setting("RESPONSE_TOPIC", "res_predict", "a topic name, or projects/P/topics/T", bool)
    subscription: str = _setting(
        "TRAIN_SUBSCRIPTION", "req_train-sub", "a subscription name, or projects/P/subscriptions/S", bool
    )
    registry: str = _setting("REGISTRY", "", "a folder, or gs://bucket/prefix: where versions are pushed", bool)
    data: str = _setting(
        "TRAIN_DATA", "", "gs://bucket/prefix, or a folder's full path: requests name data below it", _is_place
    )
    new_models: str = _setting(
        "TRAIN_MODELS",
        "",
        "names of models that may be trained before the registry has them, separated by commas; empty: none",
        lambda value: all(_NAME.fullmatch(name) for name in _names(value)),
    )
    on_alert: str = _setting(
        "TRAIN_ON_ALERT",
        "",
        "a training request without request_id, which an incident of the drift alert makes; empty: none does",
        _is_request,
    )
    weights: str = _setting("TRAIN_WEIGHTS", "imagenet", "imagenet (Keras downloads them), none, or a file", bool)
    engines: str = _setting(
        "TRAIN_ENGINES",
        "litert",
        "litert, savedmodel, or both, separated by a comma: the engines of a version",
        lambda value: bool(value) and set(_names(value)) <= {"litert", "savedmodel"},
    )
    margin: float = _setting("TRAIN_MARGIN", 0.01, "a share of the images from 0 to 1", _between(0, 1))
    max_images: int = _setting("TRAIN_MAX_IMAGES", 100_000, "a whole number from 6 to 10000000", _between(6, 10**7))
    max_bytes: int = _setting(
        "TRAIN_MAX_BYTES", 4_000_000_000, "bytes from 1000000 to 1000000000000", _between(10**6, 10**12)
    )
    max_s: float = _setting("TRAIN_MAX_S", 21_600.0, "seconds from 60 to 604800", _between(60, 604_800))
    lease_s: int = _setting(
        "TRAIN_LEASE_S",
        600,
        "seconds from 10 to 600 until the request of a killed worker returns",
        _between(10, 600),
    )
    work: str = _setting("TRAIN_WORK", "/tmp", "a writable folder for the images and the run", bool)  # nosec B108
    log_level: str = _setting("LOG_LEVEL", "INFO", "DEBUG, INFO, WARNING or ERROR", lambda value: value in LOG_LEVELS)

    def __post_init__(self) -> None:
        for each in fields(self):
            full = all(name.startswith("projects/") for name in (self.response_topic, self.subscription))
            if each.name == "project" and full:
                continue
            value = getattr(self, each.name)
            if not each.metadata["ok"](value):
                raise SettingsError(f"{each.metadata['variable']} is {value!r}; it must be {each.metadata['allowed']}")

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> TrainSettings:
        """Read the settings. A variable that is unset or empty has its default. Raises SettingsError."""
        given: dict[str, Any] = {}
        for each in fields(cls):
            variable, allowed = each.metadata["variable"], each.metadata["allowed"]
            if text := environ.get(variable, "").strip():
                try:
                    parse: Callable[[str], Any] = type(each.default)
                    given[each.name] = parse(text)
                except ValueError:
                    raise SettingsError(f"{variable} is {text!r}; it must be {allowed}") from None
        return cls(**given)

    def is_allowed_data(self, place: str) -> bool:
        """Whether a place is TRAIN_DATA or below it. Links of a folder are followed first."""
        if not _is_place(place):
            return False
        if self.data.startswith(_SCHEME):
            above = self.data.rstrip("/")
            return place == above or place.startswith(f"{above}/")
        return not place.startswith(_SCHEME) and Path(place).resolve().is_relative_to(Path(self.data).resolve())

    @property
    def engine_names(self) -> list[str]:
        """The engines that a version is exported for."""
        return _names(self.engines)

    def may_be_new(self, model: str) -> bool:
        """Whether a model may be trained before the registry has it."""
        return model in _names(self.new_models)

    @property
    def topic_path(self) -> str:
        """The response topic, `projects/P/topics/T`."""
        name = self.response_topic
        return name if name.startswith("projects/") else f"projects/{self.project}/topics/{name}"

    @property
    def subscription_path(self) -> str:
        """The subscription to requests, `projects/P/subscriptions/S`."""
        name = self.subscription
        return name if name.startswith("projects/") else f"projects/{self.project}/subscriptions/{name}"


def rows() -> list[tuple[str, str, str]]:
    """Return variable, default and allowed values of each setting, for the table in docs/registry.md."""
    return [(each.metadata["variable"], str(each.default), each.metadata["allowed"]) for each in fields(TrainSettings)]
