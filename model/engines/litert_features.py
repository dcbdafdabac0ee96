"""The features of images in a LiteRT model: the numbers from which its last layer makes the scores.

Every file has them where its last layer is a dense one, or a convolution of one pixel. They need no signature of their
own: an interpreter that keeps all tensors has them after a call.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np

from model.engines.base import MAX_FEATURES, Features, Images, Signature
from model.engines.quantization import quantisation_of

# Operators after the last layer: they turn its numbers into scores, or only reorder or convert them.
_PASSING = "SOFTMAX", "LOGISTIC", "LOG_SOFTMAX", "RESHAPE", "SQUEEZE", "DEQUANTIZE", "QUANTIZE", "CAST"


class LiteFeatures:
    """Computes features, one call at a time, with an interpreter of its own, which is made at the first call."""

    def __init__(self, path: Path, signature: Signature, threads: int) -> None:
        self._path, self._signature, self._threads = path, signature, threads
        self._lock = threading.Lock()
        self._interpreter: Any = None

    def of(self, images: Images) -> Features | None:
        """The features of images that match the signature; None when the model has none."""
        with self._lock:
            if self._interpreter is None:
                self._open()
            if self._place is None:
                return None
            return np.concatenate([self._of_one(image, self._place) for image in images])

    def _open(self) -> None:
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        made = Interpreter(
            model_path=str(self._path),
            num_threads=self._threads,
            experimental_preserve_all_tensors=True,
            # A delegate would not show the tensors between its operators.
            experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        )
        self._given, tensors = made.get_input_details()[0], {each["index"]: each for each in made.get_tensor_details()}
        place = _place(made._get_ops_details(), made.get_output_details()[0]["index"], tensors)
        self._place = None if place is None else tensors[place]
        # Some files have a fixed batch size.
        self._batch = max(1, int(self._given["shape_signature"][0]))
        shape = self._batch, self._signature.height, self._signature.width, self._signature.channels
        made.resize_tensor_input(self._given["index"], shape, strict=True)
        made.allocate_tensors()
        self._interpreter = made

    def _of_one(self, image: Any, place: dict[str, Any]) -> Features:
        images = np.repeat(image[None], self._batch, axis=0)
        into = quantisation_of(self._given) if self._signature.dtype == "float32" else None
        self._interpreter.set_tensor(self._given["index"], into.quantise(images) if into else images)
        self._interpreter.invoke()
        found = self._interpreter.get_tensor(place["index"])
        out_of = quantisation_of(place)
        return np.asarray(out_of.dequantise(found) if out_of else found, np.float32).reshape(self._batch, -1)[:1]


def _place(operators: list[dict[str, Any]], tensor: int, tensors: dict[int, dict[str, Any]]) -> int | None:
    """The tensor that the last layer takes; None without such a layer, or with more than MAX_FEATURES numbers."""
    makers = {int(made): operator for operator in operators for made in operator["outputs"]}
    for _ in operators:  # the file is untrusted: its operators may form a circle
        operator = makers.get(tensor)
        if operator is None:
            return None
        tensor, *weights = map(int, operator["inputs"])
        if operator["op_name"] in _PASSING:
            continue
        one_pixel = list(tensors[tensor]["shape_signature"][1:3]) == [1, 1]
        if operator["op_name"] == "FULLY_CONNECTED" or (operator["op_name"] == "CONV_2D" and one_pixel):
            width = int(tensors[weights[0]]["shape"][-1])
            return tensor if tensor in makers and width <= MAX_FEATURES else None
        return None
    return None
