"""The configuration of a training run: a frozen dataclass, read from YAML, with every value checked."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import accumulate
from pathlib import Path

import yaml

from model.training.errors import ConfigError
from model.training.yaml_config import (
    NAME,
    VERSION,
    Rule,
    check_keys,
    check_values,
    is_whole,
    number,
    one_of,
    read_yaml,
    whole,
)

CONFIGS = Path(__file__).parents[1] / "configs"
RECIPES = Path(__file__).parents[1] / "recipes"

PRECISIONS = "float32", "mixed_bfloat16"
DATASETS = ("fashion-mnist",)
DOWNSAMPLINGS = "pool", "stride"


@dataclass(frozen=True, slots=True)
class Cycle:
    """One rise and fall of the learning rate. A later cycle continues with the weights of the previous one.

    Images are shifted by up to `shift` pixels and lose a square of `cutout` pixels. `photolike` is the share that is
    made to look like photographs. `teacher` is the weight, in the targets, of the teachers' mean prediction for the
    augmented image (Beyer et al., "Knowledge Distillation: A Good Teacher Is Patient and Consistent", 2022). `mixup` is
    the share of dataset images that are mixed with another one, as are their targets.
    """

    epochs: int
    peak_rate: float = 0.2
    shift: int = 3
    cutout: int = 10
    photolike: float = 0.0
    teacher: float = 0.0
    mixup: float = 0.0

    def __post_init__(self) -> None:
        check_values(self, _CYCLE_RULES)


@dataclass(frozen=True, slots=True)
class Config:
    """One training run. Rates are per step; `train_images` 0 means all of them.

    `patience`: the run ends, and its best epoch is kept, after this many epochs without a better validation accuracy; 0
    means never. `average`: the final network is the mean of the networks at the cycles' ends. `downsampling`: how the
    network halves its images, by max pooling or by convolutions with stride 2. `initial`: a .keras file with the
    initial weights; without it they are random. `initial_share`: the final network is the mean of the initial one, with
    this weight, and the last one. `teachers`: folders of artifacts for the same images and labels.
    `photos`: the number of photographs of clothes (photos.py) that are added to each batch. Relative paths start at the
    working directory. `notes`: sentences for the model card.
    """

    name: str
    version: str
    dataset: str
    recipe: str
    cycles: tuple[Cycle, ...]
    average: bool = False
    initial_share: float = 0.0
    widths: tuple[int, ...] = (32, 64, 128)
    downsampling: str = "pool"
    initial: str = ""
    teachers: tuple[str, ...] = ()
    photos: int = 0
    dropout: float = 0.2
    batch_size: int = 128
    warmup: float = 0.2
    momentum: float = 0.9
    weight_decay: float = 0.0
    label_smoothing: float = 0.1
    flip: bool = True
    precision: str = "float32"
    seed: int = 0
    patience: int = 0
    train_images: int = 0
    validation_images: int = 5000
    notes: str = ""

    def __post_init__(self) -> None:
        check_values(self, _RULES)
        if self.average and (self.patience or len(self.cycles) == 1):
            raise ConfigError("average is True; it needs two or more cycles and patience 0")
        if self.initial_share and (self.average or self.patience or not self.initial):
            raise ConfigError(
                f"initial_share is {self.initial_share}; it needs initial, patience 0, and average must be false"
            )
        for place, cycle in enumerate(self.cycles, 1):
            if cycle.teacher and not self.teachers:
                raise ConfigError(f"cycles, number {place}: teacher is {cycle.teacher}; it must be 0, without teachers")

    @property
    def ends_in_mean(self) -> bool:
        """Whether the final network is a mean of several networks."""
        return self.average or self.initial_share > 0

    @property
    def ends(self) -> tuple[int, ...]:
        """The last epoch of each cycle, counted from 1."""
        return tuple(accumulate(cycle.epochs for cycle in self.cycles))

    @property
    def epochs(self) -> int:
        """Number of epochs of all cycles."""
        return self.ends[-1]

    def to_yaml(self) -> str:
        """The full configuration, including defaults."""
        values = {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}
        return str(yaml.safe_dump(values, sort_keys=False))


def read_config(path: Path) -> Config:
    """Read a YAML file. Raises ConfigError, which names the file and its first problem."""
    values = read_yaml(path)
    try:
        return parse_config(values)
    except ConfigError as exc:
        raise ConfigError(f"{path}: {exc}") from None


def parse_config(values: object) -> Config:
    """Make a Config from a mapping. Raises ConfigError."""
    values = check_keys(values, _RULES, ("name", "version", "dataset", "recipe", "cycles"))
    lists = {key: tuple(values[key]) for key in ("widths", "teachers") if isinstance(values.get(key), list)}
    return Config(**{**values, **lists, "cycles": _cycles(values["cycles"])})


def _cycles(values: object) -> tuple[Cycle, ...]:
    if not isinstance(values, list) or not values:
        raise ConfigError(f"cycles is {values!r}; it must be {_RULES['cycles'][0]}")
    cycles = []
    for place, cycle in enumerate(values, 1):
        try:
            cycles.append(Cycle(**check_keys(cycle, _CYCLE_RULES, ("epochs",), "it")))
        except ConfigError as exc:
            raise ConfigError(f"cycles, number {place}: {exc}") from None
    return tuple(cycles)


def _are_widths(value: object) -> bool:
    return isinstance(value, tuple) and len(value) == 3 and all(is_whole(n) and 1 <= n <= 1024 for n in value)


def _are_folders(value: object) -> bool:
    return isinstance(value, tuple) and all(isinstance(folder, str) and folder for folder in value)


_RULES: dict[str, Rule] = {
    "name": NAME,
    "version": VERSION,
    "dataset": one_of(DATASETS),
    "recipe": one_of(tuple(sorted(path.stem for path in RECIPES.glob("*.json")))),
    "cycles": ("a list of mappings, each with epochs", lambda value: isinstance(value, tuple) and len(value) > 0),
    "average": ("true or false", lambda value: isinstance(value, bool)),
    "initial_share": number(0, 1),
    "widths": ("three whole numbers from 1 to 1024", _are_widths),
    "downsampling": one_of(DOWNSAMPLINGS),
    "initial": ("the path of a .keras file", lambda value: isinstance(value, str)),
    "teachers": ("a list of artifacts' folders", _are_folders),
    "photos": whole(0, 4096),
    "dropout": number(0, 0.9),
    "batch_size": whole(1, 4096),
    "warmup": number(0, 0.9),
    "momentum": number(0, 0.999),
    "weight_decay": number(0, 0.1),
    "label_smoothing": number(0, 0.5),
    "flip": ("true or false", lambda value: isinstance(value, bool)),
    "precision": one_of(PRECISIONS),
    "seed": whole(0, 2**31 - 1),
    "patience": whole(0, 1000),
    "train_images": whole(0, 10**9),
    "validation_images": whole(1, 50000),
    "notes": ("text of at most 2,000 characters", lambda value: isinstance(value, str) and len(value) <= 2000),
}

_CYCLE_RULES: dict[str, Rule] = {
    "epochs": whole(1, 1000),
    "peak_rate": number(1e-6, 10),
    "shift": whole(0, 14),
    "cutout": whole(0, 27),
    "photolike": number(0, 1),
    "teacher": number(0, 1),
    "mixup": number(0, 1),
}
