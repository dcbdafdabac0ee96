"""What a LiteRT model does at its two ends: how it scales pixels, and which operator makes its outputs."""

from __future__ import annotations

from typing import Any

import numpy as np

from model.training.export.source import Ends, ends_with

# Names of the operators that Keras calls by another name.
_NAMES = {"LOGISTIC": "sigmoid", "FULLY_CONNECTED": "linear", "CONV_2D": "linear", "BATCH_MATMUL": "linear"}

# Operators that only reorder, copy or convert a tensor, and those that also choose or interpolate pixels.
_PASSING = "RESHAPE", "SQUEEZE", "EXPAND_DIMS", "DEQUANTIZE", "QUANTIZE", "CAST"
_CHOOSING = "PAD", "PADV2", "STRIDED_SLICE", "TRANSPOSE", "PACK", "CONCATENATION", "REVERSE_V2", "GATHER", "SPLIT"
_FRAMING = *_PASSING, *_CHOOSING, "UNPACK", "RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR"

_ARITHMETIC: dict[str, Any] = {"MUL": np.multiply, "DIV": np.divide, "ADD": np.add, "SUB": np.subtract}


def ends_of(interpreter: Any) -> Ends:
    """The ends of the model in an interpreter that has not allocated its tensors yet."""
    operators = interpreter._get_ops_details()
    (given,), (made,) = interpreter.get_input_details(), interpreter.get_output_details()
    start, end = given["index"], made["index"]
    # The constants of a quantised model are not its factors, and its input's quantisation says the scaling.
    scaled = _scaled(operators, start, interpreter) if given["dtype"] is np.float32 else None
    return ends_with(_last(operators, end), "", scaled)


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


def _scaled(operators: list[dict[str, Any]], start: int, interpreter: Any) -> tuple[Any, Any] | None:
    """What the model makes of the pixels 0 and 255 before its first other operator; None without scaling."""
    tensors, ends, found = {start}, [np.float64(0), np.float64(255)], False
    for operator in operators:
        inputs = [int(each) for each in operator["inputs"]]
        if not tensors.intersection(inputs):
            continue
        made = {int(each) for each in operator["outputs"]}
        if calculate := _ARITHMETIC.get(operator["op_name"]):
            constants = {each: _constant(interpreter, each) for each in inputs if each not in tensors}
            if any(constant is None for constant in constants.values()):
                break
            ends = [calculate(*(constants.get(each, end) for each in inputs)) for end in ends]
            tensors, found = made, True
        elif operator["op_name"] in _FRAMING:
            tensors |= made
        else:
            break
    return (ends[0], ends[1]) if found else None


def _constant(interpreter: Any, tensor: int) -> Any:
    """The values of a constant tensor; None for a computed one."""
    try:
        return np.asarray(interpreter.get_tensor(tensor), np.float64)
    except ValueError:  # LiteRT has no data for it yet
        return None
