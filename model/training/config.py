"""What a training run is told: one frozen dataclass, read from YAML, every value checked."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from itertools import accumulate
from pathlib import Path
from typing import Any

import yaml

from model.training.errors import ConfigError

CONFIGS = Path(__file__).with_name("configs")
RECIPES = Path(__file__).with_name("recipes")

PRECISIONS = "float32", "mixed_bfloat16"
DATASETS = ("fashion-mnist",)


@dataclass(frozen=True, slots=True)
class Cycle:
    """One rise and fall of the learning rate; a later cycle starts from where the one before it ended.

    `photolike` is the share of images that are made like photos, `teacher` the weight in the targets of what the
    network itself answered before this cycle (Furlanello et al., "Born-Again Neural Networks", 2018).
    """

    epochs: int
    peak_rate: float = 0.2
    photolike: float = 0.0
    teacher: float = 0.0

    def __post_init__(self) -> None:
        _check(self, _CYCLE_RULES)


@dataclass(frozen=True, slots=True)
class Config:
    """One training run. Rates are per step; `shift` and `cutout` are in pixels; `train_images` 0 means all of them.

    `patience` is the number of epochs without a better validation accuracy after which the run ends and its best
    epoch is kept; 0 means never. `average` makes the network that the run ends with the mean of its cycles' ends.
    """

    name: str
    version: str
    dataset: str
    recipe: str
    cycles: tuple[Cycle, ...]
    average: bool = False
    widths: tuple[int, ...] = (32, 64, 128)
    dropout: float = 0.2
    batch_size: int = 128
    warmup: float = 0.2
    momentum: float = 0.9
    weight_decay: float = 0.0
    label_smoothing: float = 0.1
    shift: int = 3
    flip: bool = True
    cutout: int = 10
    precision: str = "float32"
    seed: int = 0
    patience: int = 0
    train_images: int = 0
    validation_images: int = 5000

    def __post_init__(self) -> None:
        _check(self, _RULES)
        if self.average and (self.patience or len(self.cycles) == 1):
            raise ConfigError("average is True; it is of several cycles' ends: cycles must be two or more, patience 0")

    @property
    def ends(self) -> tuple[int, ...]:
        """The last epoch of each cycle, counted from 1."""
        return tuple(accumulate(cycle.epochs for cycle in self.cycles))

    @property
    def epochs(self) -> int:
        """Of all cycles together."""
        return self.ends[-1]

    def to_yaml(self) -> str:
        """The run's full configuration, defaults included."""
        values = {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}
        return str(yaml.safe_dump(values, sort_keys=False))


def read_config(path: Path) -> Config:
    """Read a YAML file; ConfigError names the file and the first thing that is wrong with it."""
    try:
        values = yaml.safe_load(path.read_text("utf-8"))
    except OSError as exc:
        raise ConfigError(f"{path}: cannot be read: {exc.strerror}") from exc
    except (yaml.YAMLError, UnicodeDecodeError) as exc:
        raise ConfigError(f"{path}: not YAML: {exc}") from exc
    try:
        return parse_config(values)
    except ConfigError as exc:
        raise ConfigError(f"{path}: {exc}") from None


def parse_config(values: object) -> Config:
    """Make a Config of a mapping, or raise ConfigError."""
    if not isinstance(values, dict):
        raise ConfigError(f"the configuration is {values!r}; it must be a mapping of keys to values")
    _check_keys(values, _RULES, ("name", "version", "dataset", "recipe", "cycles"))
    if isinstance(values.get("widths"), list):
        values = {**values, "widths": tuple(values["widths"])}
    return Config(**{**values, "cycles": _cycles(values["cycles"])})


def _cycles(values: object) -> tuple[Cycle, ...]:
    if not isinstance(values, list) or not values:
        raise ConfigError(f"cycles is {values!r}; it must be {_RULES['cycles'][0]}")
    cycles = []
    for number, cycle in enumerate(values, 1):
        try:
            if not isinstance(cycle, dict):
                raise ConfigError(f"it is {cycle!r}; it must be a mapping of keys to values")
            _check_keys(cycle, _CYCLE_RULES, ("epochs",))
            cycles.append(Cycle(**cycle))
        except ConfigError as exc:
            raise ConfigError(f"cycles, number {number}: {exc}") from None
    if cycles[0].teacher:
        raise ConfigError(f"cycles, number 1: teacher is {cycles[0].teacher}; nothing was trained before, it must be 0")
    return tuple(cycles)


def _check_keys(values: dict[Any, Any], rules: dict[str, _Rule], needed: tuple[str, ...]) -> None:
    for key in values:
        if key not in rules:
            raise ConfigError(f"{key!r} (value {values[key]!r}) is no key; allowed are: {', '.join(sorted(rules))}")
    for key in needed:
        if key not in values:
            raise ConfigError(f"{key} is missing; it must be {rules[key][0]}")


def _check(values: Config | Cycle, rules: dict[str, _Rule]) -> None:
    for field in fields(values):
        allowed, holds = rules[field.name]
        value = getattr(values, field.name)
        if not holds(value):
            raise ConfigError(f"{field.name} is {value!r}; it must be {allowed}")


_Rule = tuple[str, Callable[[Any], bool]]


def _whole(low: int, high: int) -> _Rule:
    return f"a whole number from {low} to {high}", lambda value: _is_whole(value) and low <= value <= high


def _number(low: float, high: float) -> _Rule:
    return (
        f"a number from {low} to {high}",
        lambda value: (isinstance(value, float) or _is_whole(value)) and low <= value <= high,
    )


def _one_of(names: tuple[str, ...]) -> _Rule:
    return "one of: " + ", ".join(names), lambda value: value in names


def _text(pattern: str, allowed: str) -> _Rule:
    return allowed, lambda value: isinstance(value, str) and re.fullmatch(pattern, value) is not None


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _are_widths(value: object) -> bool:
    return isinstance(value, tuple) and len(value) == 3 and all(_is_whole(n) and 1 <= n <= 1024 for n in value)


_RULES: dict[str, _Rule] = {
    "name": _text(r"[a-z0-9][a-z0-9-]{0,62}", "lower-case letters, digits and hyphens, at most 63"),
    "version": _text(r"\d+\.\d+\.\d+", "three numbers such as 1.0.0"),
    "dataset": _one_of(DATASETS),
    "recipe": _one_of(tuple(sorted(path.stem for path in RECIPES.glob("*.json")))),
    "cycles": ("a list of mappings, each with epochs", lambda value: isinstance(value, tuple) and len(value) > 0),
    "average": ("true or false", lambda value: isinstance(value, bool)),
    "widths": ("three whole numbers from 1 to 1024", _are_widths),
    "dropout": _number(0, 0.9),
    "batch_size": _whole(1, 4096),
    "warmup": _number(0, 0.9),
    "momentum": _number(0, 0.999),
    "weight_decay": _number(0, 0.1),
    "label_smoothing": _number(0, 0.5),
    "shift": _whole(0, 14),
    "flip": ("true or false", lambda value: isinstance(value, bool)),
    "cutout": _whole(0, 27),
    "precision": _one_of(PRECISIONS),
    "seed": _whole(0, 2**31 - 1),
    "patience": _whole(0, 1000),
    "train_images": _whole(0, 10**9),
    "validation_images": _whole(1, 50000),
}

_CYCLE_RULES: dict[str, _Rule] = {
    "epochs": _whole(1, 1000),
    "peak_rate": _number(1e-6, 10),
    "photolike": _number(0, 1),
    "teacher": _number(0, 1),
}
