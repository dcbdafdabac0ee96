"""The configuration of transfer learning: a frozen dataclass, from YAML, from command-line options, or both."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from model.training.errors import ConfigError
from model.training.importing.recipe import FRAMINGS
from model.training.yaml_config import NAME, VERSION, Rule, check_keys, check_values, number, one_of, read_yaml, whole


@dataclass(frozen=True, slots=True)
class TransferConfig:
    """One run on a folder of labelled images.

    `backbone`: a name of the catalog; `weights`: imagenet (Keras downloads them), none, or a file; `alpha`: the width
    of a backbone that has several; `size` 0: the backbone's own; `classes` 0: all; `fine_tune_layers`: the number of
    the backbone's last layers that are trained after the head.
    """

    name: str
    backbone: str
    data: str
    version: str = "0.1.0"
    weights: str = "imagenet"
    alpha: float = 1.0
    size: int = 0
    framing: str = "crop"
    classes: int = 0
    validation_share: float = 0.1
    batch_size: int = 32
    epochs: int = 30
    rate: float = 0.001
    dropout: float = 0.5
    label_smoothing: float = 0.0
    fine_tune_epochs: int = 3
    fine_tune_layers: int = 20
    fine_tune_rate: float = 0.00001
    seed: int = 0

    def __post_init__(self) -> None:
        check_values(self, _RULES)

    def to_yaml(self) -> str:
        """The full configuration, including defaults."""
        return str(yaml.safe_dump(asdict(self), sort_keys=False))


def read_transfer_config(path: Path | None, given: Mapping[str, Any]) -> TransferConfig:
    """Combine the values of a YAML file, if there is one, with those `given`, which take precedence.

    The default name is the data folder's. Raises ConfigError, which names the key, its value and the allowed values.
    """
    values = check_keys(read_yaml(path) if path else {}, _RULES, ())
    values = check_keys({**values, **given}, _RULES, ("backbone", "data"))
    named = re.sub(r"[^a-z0-9]+", "-", Path(str(values["data"])).resolve().name.lower()).strip("-")
    try:
        return TransferConfig(**{"name": named[:63] or "model", **values})
    except ConfigError as exc:
        raise ConfigError(f"{path}: {exc}" if path else str(exc)) from None


def is_transfer_config(path: Path) -> bool:
    """Whether a YAML file configures transfer learning: it names a backbone."""
    values = read_yaml(path)
    return isinstance(values, dict) and "backbone" in values


_TEXT: Rule = ("a text", lambda value: isinstance(value, str) and bool(value))

_RULES: dict[str, Rule] = {
    "name": NAME,
    "backbone": ("a name of `python -m model catalog`", _TEXT[1]),
    "data": ("a folder with a folder of images for each class", _TEXT[1]),
    "version": VERSION,
    "weights": ("imagenet, none or a file", _TEXT[1]),
    "alpha": number(0.1, 2),
    "size": ("0 or a whole number from 32 to 1024", lambda value: value == 0 or whole(32, 1024)[1](value)),
    "framing": one_of(FRAMINGS),
    "classes": whole(0, 100_000),
    "validation_share": number(0.01, 0.5),
    "batch_size": whole(1, 4096),
    "epochs": whole(1, 1000),
    "rate": number(1e-6, 1),
    "dropout": number(0, 0.9),
    "label_smoothing": number(0, 0.5),
    "fine_tune_epochs": whole(0, 1000),
    "fine_tune_layers": whole(1, 10_000),
    "fine_tune_rate": number(1e-8, 1),
    "seed": whole(0, 2**31 - 1),
}
