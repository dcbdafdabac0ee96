"""The network: a small residual one (He, Zhang, Ren, Sun, "Deep Residual Learning for Image Recognition", 2015)."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers


def build(widths: tuple[int, ...], dropout: float, labels: int, precision: str = "float32") -> Any:
    """A keras.Model from float32 [N, 28, 28, 1] in 0..1 to float32 probabilities [N, labels].

    `precision` is Keras' name of a dtype policy; whatever it is, weights and the softmax are float32, so that the
    weights of one precision fit the network of another.
    """

    def convolve(x: Any, filters: int) -> Any:
        x = layers.Conv2D(filters, 3, padding="same", use_bias=False, dtype=precision)(x)
        return layers.ReLU(dtype=precision)(layers.BatchNormalization(dtype=precision)(x))

    def residual(x: Any, filters: int) -> Any:
        return layers.Add(dtype=precision)([x, convolve(convolve(x, filters), filters)])

    first, second, third = widths
    image = layers.Input((28, 28, 1), dtype="float32", name="image")
    x = convolve(convolve(image, first), second)
    x = residual(layers.MaxPooling2D(dtype=precision)(x), second)
    x = residual(layers.MaxPooling2D(dtype=precision)(convolve(x, third)), third)
    x = layers.GlobalAveragePooling2D(dtype=precision)(x)
    x = layers.Dropout(dropout, dtype=precision)(x)
    scores = layers.Dense(labels, activation="softmax", dtype="float32", name="scores")(x)
    return keras.Model(image, scores)
