"""Calibration images that do not fit the network are refused."""

from __future__ import annotations

import numpy as np
import pytest

from model.engines.base import Signature
from model.training.errors import ExportError
from model.training.export.convert import check_samples


@pytest.mark.parametrize(
    ("shape", "dtype"), [((5, 28, 28), "float32"), ((5, 32, 32, 1), "float32"), ((0, 28, 28, 1), "float32")]
)
def test_representative_images_of_another_shape_are_refused(shape: tuple[int, ...], dtype: str) -> None:
    signature = Signature(28, 28, 1, "float32", ("a", "b"), {})
    with pytest.raises(ExportError) as refusal:
        check_samples(np.zeros(shape, dtype), signature)
    assert str(refusal.value).startswith(f"the representative images cannot be used: images are {dtype} [{shape[0]}, ")
    assert "they must be float32 [N, 28, 28, 1] with at least one image" in str(refusal.value)
    check_samples(np.zeros((1, 28, 28, 1), np.float32), signature)
