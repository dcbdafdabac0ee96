"""What a training run is told: one frozen dataclass, read from YAML, every value checked."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import yaml

from model.training.errors import ConfigError
from model.training.rules import NAME, VERSION, Rule, check_keys, check_values, read_yaml
from model.training.rules import is_whole as _is_whole
from model.training.rules import number as _number
from model.training.rules import one_of as _one_of
from model.training.rules import whole as _whole

CONFIGS = Path(__file__).with_name("configs")
RECIPES = Path(__file__).with_name("recipes")

PRECISIONS = "float32", "mixed_bfloat16"
DATASETS = ("fashion-mnist",)


@dataclass(frozen=True, slots=True)
class Config:
    """One training run. Rates are per step; `shift` and `cutout` are in pixels; `train_images` 0 means all of them."""

    name: str
    version: str
    dataset: str
    recipe: str
    epochs: int
    widths: tuple[int, ...] = (32, 64, 128)
    dropout: float = 0.2
    batch_size: int = 128
    peak_rate: float = 0.2
    warmup: float = 0.2
    momentum: float = 0.9
    weight_decay: float = 0.0
    label_smoothing: float = 0.1
    shift: int = 3
    flip: bool = True
    cutout: int = 10
    precision: str = "float32"
    seed: int = 0
    train_images: int = 0
    validation_images: int = 5000

    def __post_init__(self) -> None:
        check_values(self, _RULES)

    def to_yaml(self) -> str:
        """The run's full configuration, defaults included."""
        values = {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}
        return str(yaml.safe_dump(values, sort_keys=False))


def read_config(path: Path) -> Config:
    """Read a YAML file; ConfigError names the file and the first thing that is wrong with it."""
    values = read_yaml(path)
    try:
        return parse_config(values)
    except ConfigError as exc:
        raise ConfigError(f"{path}: {exc}") from None


def parse_config(values: object) -> Config:
    """Make a Config of a mapping, or raise ConfigError."""
    values = check_keys(values, _RULES, ("name", "version", "dataset", "recipe", "epochs"))
    if isinstance(values.get("widths"), list):
        values = {**values, "widths": tuple(values["widths"])}
    return Config(**values)


def _are_widths(value: object) -> bool:
    return isinstance(value, tuple) and len(value) == 3 and all(_is_whole(n) and 1 <= n <= 1024 for n in value)


_RULES: dict[str, Rule] = {
    "name": NAME,
    "version": VERSION,
    "dataset": _one_of(DATASETS),
    "recipe": _one_of(tuple(sorted(path.stem for path in RECIPES.glob("*.json")))),
    "epochs": _whole(1, 1000),
    "widths": ("three whole numbers from 1 to 1024", _are_widths),
    "dropout": _number(0, 0.9),
    "batch_size": _whole(1, 4096),
    "peak_rate": _number(1e-6, 10),
    "warmup": _number(0, 0.9),
    "momentum": _number(0, 0.999),
    "weight_decay": _number(0, 0.1),
    "label_smoothing": _number(0, 0.5),
    "shift": _whole(0, 14),
    "flip": ("true or false", lambda value: isinstance(value, bool)),
    "cutout": _whole(0, 27),
    "precision": _one_of(PRECISIONS),
    "seed": _whole(0, 2**31 - 1),
    "train_images": _whole(0, 10**9),
    "validation_images": _whole(1, 50000),
}
