"""Makes the int8 variant of an ONNX file with ONNX Runtime's quantiser ("Quantize ONNX models", ONNX Runtime).

Inputs and outputs stay as they are. Weights are int8 for each channel, activations uint8 for each tensor.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy.typing as npt
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.registry import QDQRegistry, QLinearOpsRegistry
from onnxruntime.quantization.shape_inference import quant_pre_process

from model.engines.base import Images
from model.engines.onnx import End, as_input, open_session, runtime_reason, session_ends
from model.training.errors import ExportError

# These stay in float: int8 scores would be multiples of 1/256 whose sum is not 1.
_SCORING = {"Softmax", "Sigmoid"}


class _Samples(CalibrationDataReader):  # type: ignore[misc]
    """Gives the quantiser one representative image after the other."""

    def __init__(self, samples: Images, end: End) -> None:
        self._name = end.name
        self._inputs = (as_input(image[None], end) for image in samples)

    def get_next(self) -> dict[str, npt.NDArray[Any]] | None:
        """The next input; None at the end."""
        given = next(self._inputs, None)
        return None if given is None else {self._name: given}


def write_int8(path: Path, samples: Images, target: Path) -> None:
    """Write the int8 variant of the file at `path` to `target`.

    `samples`: representative inputs [N, height, width, channels]. Raises ExportError for a file that the quantiser
    cannot read or convert.
    """
    operators = sorted((QDQRegistry.keys() | QLinearOpsRegistry.keys()) - _SCORING)
    (given,), _ = session_ends(open_session(path))
    try:
        with tempfile.TemporaryDirectory(dir=target.parent) as folder, _quiet():
            prepared = Path(folder) / "prepared.onnx"
            quant_pre_process(str(path), str(prepared), skip_symbolic_shape=True)
            quantize_static(
                str(prepared),
                str(target),
                _Samples(samples, given),
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=operators,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                per_channel=True,
            )
    except OSError:  # for instance a full disk, which is not the model's fault
        raise
    except Exception as exc:  # the quantiser's exceptions, and those of ONNX Runtime, have no base class of their own
        raise ExportError(runtime_reason(exc)) from exc


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the quantiser's log lines about its own steps."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
