"""The network: a small residual network (He, Zhang, Ren, Sun, "Deep Residual Learning for Image Recognition", 2015)."""

from __future__ import annotations

import random
from typing import Any

import keras
from keras import layers


def build(
    widths: tuple[int, ...],
    dropout: float,
    labels: int,
    precision: str = "float32",
    seed: int = 0,
    downsampling: str = "pool",
) -> Any:
    """A keras.Model from float32 [N, 28, 28, 1] in 0..1 to float32 probabilities [N, labels].

    `downsampling`: with `pool`, max pooling halves the images after a convolution at a new width; with `stride` that
    convolution halves them itself, in a quarter of the multiplications. `precision`: the name of a Keras dtype policy.
    Weights and softmax are always float32, so the weights of one precision fit the network of another. The initial
    weights depend only on `seed`: Keras' own seeds come from a generator that other threads of the process use too.
    """
    draws = random.Random(seed)  # nosec B311  # initial weights are not secret

    def drawn() -> int:
        return draws.randint(1, 10**9)

    def convolve(x: Any, filters: int, stride: int = 1) -> Any:
        begin = keras.initializers.GlorotUniform(drawn())
        x = layers.Conv2D(
            filters, 3, stride, padding="same", use_bias=False, kernel_initializer=begin, dtype=precision
        )(x)
        return layers.ReLU(dtype=precision)(layers.BatchNormalization(dtype=precision)(x))

    def halve(x: Any, filters: int) -> Any:
        if downsampling == "stride":
            return convolve(x, filters, 2)
        return layers.MaxPooling2D(dtype=precision)(convolve(x, filters))

    def residual(x: Any, filters: int) -> Any:
        return layers.Add(dtype=precision)([x, convolve(convolve(x, filters), filters)])

    first, second, third = widths
    image = layers.Input((28, 28, 1), dtype="float32", name="image")
    x = residual(halve(convolve(image, first), second), second)
    x = residual(halve(x, third), third)
    x = layers.GlobalAveragePooling2D(dtype=precision)(x)
    x = layers.Dropout(dropout, seed=drawn(), dtype=precision)(x)
    begin = keras.initializers.GlorotUniform(drawn())
    scores = layers.Dense(labels, activation="softmax", kernel_initializer=begin, dtype="float32", name="scores")(x)
    return keras.Model(image, scores)
