"""Small networks for tests, and the saving of them. Needs TensorFlow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
from keras import layers


def network(*top: Any, outputs: int = 3, activation: str | None = "softmax", shape: Any = (20, 16, 3)) -> Any:
    keras.utils.set_random_seed(1)
    body = [layers.Conv2D(8, 3, activation="relu"), layers.GlobalAveragePooling2D(), layers.Dense(outputs, activation)]
    return keras.Sequential([keras.Input(shape), *top, *body])


def as_saved_model(path: Path, made: Any) -> Path:
    made.export(path / "made", verbose=False)
    return path / "made"
