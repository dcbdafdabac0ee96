"""Quantised tensors: conversion between integers and the real numbers that they represent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class Quantisation:
    """real = (quantised - zero_point) * scale, for a whole tensor (LiteRT's "8-bit quantization specification")."""

    dtype: str
    scale: float
    zero_point: int

    def quantise(self, values: npt.NDArray[np.float32]) -> npt.NDArray[Any]:
        """The nearest integers; values outside the range of the dtype are clipped to it."""
        limits = np.iinfo(self.dtype)
        quantised: npt.NDArray[Any] = np.empty(values.shape, self.dtype)
        for real, whole in zip(values, quantised, strict=True):  # image by image, to stay in the processor's cache
            steps = real / np.float32(self.scale)
            steps += self.zero_point
            np.rint(steps, out=steps)
            whole[...] = steps.clip(limits.min, limits.max, out=steps)
        return quantised

    def dequantise(self, values: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        return (values.astype(np.float32) - np.float32(self.zero_point)) * np.float32(self.scale)


def quantisation_of(tensor: Mapping[str, Any]) -> Quantisation | None:
    """The quantisation of a tensor as LiteRT's interpreter describes it; None when the tensor is not quantised."""
    scale, zero_point = tensor["quantization"]
    dtype = np.dtype(tensor["dtype"])
    return Quantisation(dtype.name, float(scale), int(zero_point)) if dtype.kind in "iu" and scale > 0 else None
