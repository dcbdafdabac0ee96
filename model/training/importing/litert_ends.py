"""What a LiteRT model does at its two ends: how it scales pixels, and which operator makes its outputs."""

from __future__ import annotations

from typing import Any

import numpy as np

from model.training.export.source import Ends

# Names of the operators that Keras calls by another name.
_NAMES = {"LOGISTIC": "sigmoid", "FULLY_CONNECTED": "linear", "CONV_2D": "linear", "BATCH_MATMUL": "linear"}

# Operators that only reorder, copy or convert a tensor, and those that also choose or interpolate pixels.
_PASSING = "RESHAPE", "SQUEEZE", "EXPAND_DIMS", "DEQUANTIZE", "QUANTIZE", "CAST"
_FRAMING = *_PASSING, "RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR", "PAD", "PADV2", "STRIDED_SLICE", "TRANSPOSE"


def ends_of(interpreter: Any) -> Ends:
    """The ends of the model in an interpreter that has not allocated its tensors yet."""
    operators = interpreter._get_ops_details()
    (start,), (end,) = (
        [each["index"] for each in of()] for of in (interpreter.get_input_details, interpreter.get_output_details)
    )
    return Ends(last=_last(operators, end), gain=_gain(operators, start, interpreter))


def _last(operators: list[dict[str, Any]], tensor: int) -> str:
    """The name of the operator that makes a tensor."""
    makers = {int(made): operator for operator in operators for made in operator["outputs"]}
    for _ in operators:  # the file is untrusted: its operators may form a circle
        operator = makers.get(tensor)
        if operator is None or not len(operator["inputs"]):
            break
        if operator["op_name"] not in _PASSING:
            return _NAMES.get(operator["op_name"], str(operator["op_name"]).lower())
        tensor = int(operator["inputs"][0])
    return ""


def _gain(operators: list[dict[str, Any]], tensor: int, interpreter: Any) -> float | None:
    """The factor by which the model scales pixels before its first other operator; None without scaling."""
    gain, found = 1.0, False
    for operator in operators:
        inputs = [int(each) for each in operator["inputs"]]
        if tensor not in inputs:
            continue
        name = operator["op_name"]
        if name in ("MUL", "DIV", "ADD", "SUB"):
            others = [each for each in inputs if each != tensor]
            constant = _constant(interpreter, others[0]) if others else None
            if constant is None:
                break
            found = True
            if name in ("MUL", "DIV"):
                gain *= constant if name == "MUL" else 1 / constant
        elif name not in _FRAMING:
            break
        tensor = int(operator["outputs"][0])
    return gain if found else None


def _constant(interpreter: Any, tensor: int) -> float | None:
    """The largest absolute value of a constant tensor; None for a computed one."""
    try:
        values = np.abs(np.asarray(interpreter.get_tensor(tensor), np.float64))
    except ValueError:  # LiteRT has no data for it yet
        return None
    return float(values.max()) or None if values.size else None
