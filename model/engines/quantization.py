"""Whole numbers that stand for real ones: the inputs and outputs of quantised LiteRT models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class Quantisation:
    """real = (whole - zero_point) * scale, for a whole tensor ("LiteRT 8-bit quantization specification")."""

    dtype: str
    scale: float
    zero_point: int

    def quantise(self, values: npt.NDArray[np.float32]) -> npt.NDArray[Any]:
        """The nearest whole numbers; what lies outside the range of the dtype becomes its end."""
        limits = np.iinfo(self.dtype)
        quantised: npt.NDArray[Any] = np.empty(values.shape, self.dtype)
        for real, whole in zip(values, quantised, strict=True):  # a batch at once would leave the processor's cache
            steps = real / np.float32(self.scale)
            steps += self.zero_point
            np.rint(steps, out=steps)
            whole[...] = steps.clip(limits.min, limits.max, out=steps)
        return quantised

    def dequantise(self, values: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        return (values.astype(np.float32) - np.float32(self.zero_point)) * np.float32(self.scale)


def quantisation_of(tensor: Mapping[str, Any]) -> Quantisation | None:
    """Of a tensor as LiteRT's interpreter describes it; None when its numbers mean themselves."""
    scale, zero_point = tensor["quantization"]
    dtype = np.dtype(tensor["dtype"])
    return Quantisation(dtype.name, float(scale), int(zero_point)) if dtype.kind in "iu" and scale > 0 else None
