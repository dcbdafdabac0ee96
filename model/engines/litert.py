"""The LiteRT engine: runs model.tflite on the CPU, without TensorFlow.

An interpreter serves one thread at a time, and a new batch size reallocates its tensors. The engine therefore pools
interpreters for a few batch sizes and splits other batches into these sizes: seven images into four, two and one.
Padding would cost as much as images do, and a call costs little more than its images. The engine quantises the inputs
and dequantises the outputs of a quantised model, so that its signature is that of the float32 network.
"""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from model.engines.base import Activations, Features, Images, Scores, Signature
from model.engines.gpu import CPU
from model.engines.litert_check import check_lite
from model.engines.litert_features import LiteFeatures
from model.engines.outputs import as_scores
from model.engines.quantization import quantisation_of
from model.engines.signature_checks import check_images, check_model
from model.errors import ArtifactError

# Batch sizes, in images, that the engine allocates interpreters for.
BUCKETS = (1, 2, 4, 8, 16, 32)

# Name of the model's signature that computes activation maps.
EXPLAINING = "explain"


class LiteRTEngine:
    """Scores with LiteRT. Each concurrent call uses its own interpreter, which is made at first use and reused.

    `threads`: CPU threads of one call. Raises ArtifactError when the file is not a model or does not match `signature`.
    """

    def __init__(self, path: Path, signature: Signature, threads: int = 1) -> None:
        from ai_edge_litert.interpreter import Interpreter

        check_lite(path)
        self.signature, self.device = signature, CPU
        self._path, self._threads = path, threads
        self._interpreter = Interpreter
        self._lock = threading.Lock()
        self._closed = False
        try:
            first = Interpreter(model_path=str(path), num_threads=threads)
        except (ValueError, RuntimeError) as exc:
            raise ArtifactError(f"{path} is not a model that LiteRT can load: {_reason(exc)}") from exc
        self._explains = EXPLAINING in first.get_signature_list()
        self._explaining = threading.Lock()
        self._explain: Any = None
        self._features = LiteFeatures(path, signature, threads)
        inputs, outputs = first.get_input_details(), first.get_output_details()
        real = signature.dtype == "float32"  # an integer signature describes the tensor's own numbers
        check_model(
            path, signature, [_spec(tensor, real) for tensor in inputs], [_spec(tensor, True) for tensor in outputs]
        )
        self._into = quantisation_of(inputs[0]) if real else None
        self._out_of = quantisation_of(outputs[0])
        self._input, self._output = int(inputs[0]["index"]), int(outputs[0]["index"])
        fixed = int(inputs[0]["shape_signature"][0])
        self._buckets = BUCKETS if fixed < 0 else (fixed,)
        self._idle: dict[int, list[Any]] = {bucket: [] for bucket in self._buckets}
        try:
            self._idle[self._buckets[0]].append(self._sized(first, self._buckets[0]))
        except (ValueError, RuntimeError) as exc:
            raise ArtifactError(f"{path} cannot be run by LiteRT: {_reason(exc)}") from exc

    def score(self, images: Images, /) -> Scores:
        check_images(images, self.signature)
        parts, start = [], 0
        while start < len(images):
            bucket = self._buckets[max(0, bisect_right(self._buckets, len(images) - start) - 1)]
            parts.append(self._score(images[start : start + bucket], bucket))
            start += bucket
        return as_scores(self.signature.outputs, parts[0] if len(parts) == 1 else np.concatenate(parts))

    def activations(self, images: Images, /) -> Activations | None:
        """Compute activation maps, one call at a time, with a separate interpreter, so that scoring never waits."""
        check_images(images, self.signature)
        if self._closed:
            raise RuntimeError("the engine is closed")
        if not self._explains:
            return None
        with self._explaining:
            if self._explain is None:
                interpreter = self._interpreter(model_path=str(self._path), num_threads=self._threads)
                self._explain = interpreter.get_signature_runner(EXPLAINING)
            activations: Activations = self._explain(images=images)["activations"]
        return activations

    def features(self, images: Images, /) -> Features | None:
        """Compute features, one call at a time, with a separate interpreter, so that scoring never waits."""
        check_images(images, self.signature)
        if self._closed:
            raise RuntimeError("the engine is closed")
        return self._features.of(images)

    def close(self) -> None:
        with self._lock:
            self._closed = True
            for idle in self._idle.values():
                idle.clear()

    def _score(self, images: Images, bucket: int) -> Scores:
        count = len(images)
        if self._into:
            images = self._into.quantise(images)
        if count < bucket:  # the model has a fixed batch size
            padding = np.zeros((bucket - count, *images.shape[1:]), images.dtype)
            images = np.concatenate([images, padding])
        with self._borrowed(bucket) as interpreter:
            interpreter.set_tensor(self._input, np.ascontiguousarray(images))
            interpreter.invoke()
            scores: Scores = interpreter.get_tensor(self._output)[:count]
        return self._out_of.dequantise(scores) if self._out_of else scores

    @contextmanager
    def _borrowed(self, bucket: int) -> Iterator[Any]:
        with self._lock:
            if self._closed:
                raise RuntimeError("the engine is closed")
            idle = self._idle[bucket]
            interpreter = idle.pop() if idle else None
        if interpreter is None:
            interpreter = self._sized(self._interpreter(model_path=str(self._path), num_threads=self._threads), bucket)
        yield interpreter  # after an exception it is dropped, because its state is unknown
        with self._lock:
            if not self._closed:
                self._idle[bucket].append(interpreter)

    def _sized(self, interpreter: Any, bucket: int) -> Any:
        shape = [bucket, self.signature.height, self.signature.width, self.signature.channels]
        interpreter.resize_tensor_input(self._input, shape, strict=True)
        interpreter.allocate_tensors()
        return interpreter


def _reason(exc: Exception) -> str:
    """LiteRT's error message in one line, for the log."""
    return " ".join(str(exc).split()) or type(exc).__name__


def _spec(tensor: dict[str, Any], real: bool) -> tuple[tuple[int, ...], str]:
    """Shape and dtype of a tensor. With `real`, a quantised tensor counts as float32, the dtype that it represents."""
    dtype = "float32" if real and quantisation_of(tensor) else np.dtype(tensor["dtype"]).name
    return tuple(int(n) for n in tensor["shape_signature"]), dtype
