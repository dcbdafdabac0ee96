"""Training configs: valid ones are read, others are refused with the reason."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from model.training.errors import ConfigError
from model.training.fashion_mnist.config import CONFIGS, parse_config, read_config

TINY: dict[str, Any] = {
    "name": "tiny",
    "version": "0.0.1",
    "dataset": "fashion-mnist",
    "recipe": "fashion-mnist",
    "widths": [2, 3, 4],
    "dropout": 0.0,
    "cycles": [{"epochs": 3}],
    "batch_size": 32,
    "validation_images": 40,
}


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_shipped_configs_are_read_and_written_back(path: Path, tmp_path: Path) -> None:
    config = read_config(path)
    (tmp_path / "again.yaml").write_text(config.to_yaml())
    assert read_config(tmp_path / "again.yaml") == config


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"epoch": 3}, "'epoch' (value 3) is not a key; allowed are: average, "),
        ({"cycles": 3}, "cycles is 3; it must be a list of mappings, each with epochs"),
        ({"cycles": []}, "cycles is [];"),
        ({"cycles": [3]}, "cycles, number 1: it is 3; it must be a mapping"),
        ({"cycles": [{"epochs": 0}]}, "cycles, number 1: epochs is 0; it must be a whole number from 1 to 1000"),
        ({"cycles": [{"epochs": True}]}, "cycles, number 1: epochs is True;"),
        ({"cycles": [{"epochs": "3"}]}, "cycles, number 1: epochs is '3';"),
        ({"cycles": [{"epochs": 3}, {}]}, "cycles, number 2: epochs is missing; it must be a whole number"),
        (
            {"cycles": [{"epochs": 3, "rate": 1}]},
            "cycles, number 1: 'rate' (value 1) is not a key; allowed are: cutout, ",
        ),
        ({"cycles": [{"epochs": 3, "photolike": 2}]}, "cycles, number 1: photolike is 2; it must be a number from 0"),
        ({"cycles": [{"epochs": 3, "shift": 15}]}, "cycles, number 1: shift is 15; it must be a whole number from 0"),
        ({"cycles": [{"epochs": 3, "cutout": -1}]}, "cycles, number 1: cutout is -1; it must be a whole number from"),
        ({"shift": 3}, "'shift' (value 3) is not a key; allowed are: average, "),
        (
            {"cycles": [{"epochs": 3, "teacher": 0.5}]},
            "cycles, number 1: teacher is 0.5; it must be 0, without teachers",
        ),
        ({"cycles": [{"epochs": 3, "peak_rate": float("nan")}]}, "cycles, number 1: peak_rate is nan; it must be a"),
        ({"cycles": [{"epochs": 3, "mixup": 1.5}]}, "cycles, number 1: mixup is 1.5; it must be a number from 0 to 1"),
        ({"teachers": "large"}, "teachers is 'large'; it must be a list of artifacts' folders"),
        ({"teachers": ["large", ""]}, "teachers is ('large', ''); it must be a list of artifacts' folders"),
        ({"initial": 3}, "initial is 3; it must be the path of a .keras file"),
        ({"photos": -1}, "photos is -1; it must be a whole number from 0 to 4096"),
        ({"downsampling": "crop"}, "downsampling is 'crop'; it must be one of: pool, stride"),
        ({"notes": "long" * 600}, "notes is 'longlong"),
        ({"average": "yes"}, "average is 'yes'; it must be true or false"),
        ({"average": True}, "average is True; it needs two or more cycles and patience 0"),
        ({"cycles": [{"epochs": 1}, {"epochs": 1}], "average": True, "patience": 1}, "average is True; it needs"),
        ({"initial_share": 0.2}, "initial_share is 0.2; it needs initial, patience 0, and average must be false"),
        (
            {"initial_share": 0.2, "initial": "a.keras", "patience": 1},
            "initial_share is 0.2; it needs initial, patience",
        ),
        ({"initial_share": 2, "initial": "a.keras"}, "initial_share is 2; it must be a number from 0 to 1"),
        ({"patience": -1}, "patience is -1; it must be a whole number from 0 to 1000"),
        ({"name": "Über"}, "name is 'Über'; it must be at most 63 characters"),
        ({"version": 1.0}, "version is 1.0; it must be three numbers"),
        ({"dataset": "cifar"}, "dataset is 'cifar'; it must be one of: fashion-mnist"),
        ({"recipe": "../secret"}, "recipe is '../secret'; it must be one of: "),
        ({"widths": [32, 64]}, "widths is (32, 64); it must be three whole numbers"),
        ({"dropout": 1}, "dropout is 1; it must be a number from 0 to 0.9"),
        ({"flip": "yes"}, "flip is 'yes'; it must be true or false"),
        ({"precision": "float16"}, "precision is 'float16'; it must be one of: float32, mixed_bfloat16"),
    ],
)
def test_a_wrong_config_is_refused_by_key_value_and_what_is_allowed(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        parse_config(TINY | changes)
    assert str(refusal.value).startswith(said)


def test_an_incomplete_or_invalid_config_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^cycles is missing; it must be a list"):
        parse_config({key: value for key, value in TINY.items() if key != "cycles"})
    with pytest.raises(ConfigError, match=r"nowhere\.yaml: cannot be read"):
        read_config(tmp_path / "nowhere.yaml")
    (tmp_path / "list.yaml").write_text("- 1")
    with pytest.raises(ConfigError, match=r"list\.yaml: the configuration is \[1\]; it must be a mapping"):
        read_config(tmp_path / "list.yaml")
