"""Small networks for tests, and the saving of them. Needs TensorFlow."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import keras
import numpy as np
import tensorflow as tf
from keras import layers

Method = TypeVar("Method", bound=Callable[..., Any])

# Writes a network to a folder; returns the path of the model.
Save = Callable[[Path, Any], Path]


def network(*top: Any, outputs: int = 3, activation: str | None = "softmax", shape: Any = (20, 16, 3)) -> Any:
    keras.utils.set_random_seed(1)
    body = [layers.Conv2D(8, 3, activation="relu"), layers.GlobalAveragePooling2D(), layers.Dense(outputs, activation)]
    return keras.Sequential([keras.Input(shape), *top, *body])


def save_npz(path: Path, arrays: dict[str, Any]) -> None:
    """Write arrays under names that may hold slashes, which numpy's keywords cannot be typed with."""
    save: Any = np.savez
    save(path, **arrays)


def traced(*shape: int | None) -> Callable[[Method], Method]:
    """`tf.function` of one float32 argument of this shape, with a type."""
    decorate: Callable[[Method], Method] = tf.function(input_signature=[tf.TensorSpec(shape)])
    return decorate


def as_saved_model(path: Path, made: Any) -> Path:
    made.export(path / "made", verbose=False)
    return path / "made"


def as_keras(path: Path, made: Any) -> Path:
    made.save(path / "made.keras")
    return path / "made.keras"


def as_h5(path: Path, made: Any) -> Path:
    made.save(path / "made.h5")
    return path / "made.h5"


def as_lite(path: Path, made: Any) -> Path:
    converter = tf.lite.TFLiteConverter.from_saved_model(str(as_saved_model(path, made)))
    (path / "made.tflite").write_bytes(converter.convert())
    return path / "made.tflite"
