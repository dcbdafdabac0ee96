"""The LiteRT engine: model.tflite on the CPU. Small, quick to start, no TensorFlow.

An interpreter serves one thread at a time and one batch size without reallocating, so there is a pool of them for each
of a few batch sizes, and other batches are cut into these: seven images into four, two and one. On a CPU a call costs
little beside its images, and padding is paid for like images. Where a model takes or gives whole numbers in place of
real ones, they are translated here, so that its signature is that of the network it was made from.
"""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from model.engines.base import Activations, Images, Scores, Signature
from model.engines.litert_check import check_lite
from model.engines.quantization import quantisation_of
from model.engines.signature_checks import check_images, check_model
from model.errors import ArtifactError

BUCKETS = (1, 2, 4, 8, 16, 32)
EXPLAINING = "explain"


class LiteRTEngine:
    """Scores with LiteRT. Threads that score at once get an interpreter each, made at first use and kept.

    `threads`: CPU threads of one call. Raises ArtifactError when the file is no model or not the signature's.
    """

    def __init__(self, path: Path, signature: Signature, threads: int = 1) -> None:
        from ai_edge_litert.interpreter import Interpreter

        check_lite(path)
        self._path, self._signature, self._threads = path, signature, threads
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
        inputs, outputs = first.get_input_details(), first.get_output_details()
        real = signature.dtype == "float32"  # a signature of whole numbers asks for the tensor's own
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

    @property
    def signature(self) -> Signature:
        return self._signature

    def score(self, images: Images, /) -> Scores:
        check_images(images, self._signature)
        parts, start = [], 0
        while start < len(images):
            bucket = self._buckets[max(0, bisect_right(self._buckets, len(images) - start) - 1)]
            parts.append(self._score(images[start : start + bucket], bucket))
            start += bucket
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def activations(self, images: Images, /) -> Activations | None:
        """One call at a time, by an interpreter of its own, made at first use: scoring never waits for it."""
        check_images(images, self._signature)
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

    def close(self) -> None:
        with self._lock:
            self._closed = True
            for idle in self._idle.values():
                idle.clear()

    def _score(self, images: Images, bucket: int) -> Scores:
        count = len(images)
        if self._into:
            images = self._into.quantise(images)
        if count < bucket:  # of a model that takes no fewer
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
        yield interpreter  # one that failed is dropped: its state is unknown
        with self._lock:
            if not self._closed:
                self._idle[bucket].append(interpreter)

    def _sized(self, interpreter: Any, bucket: int) -> Any:
        shape = [bucket, self._signature.height, self._signature.width, self._signature.channels]
        interpreter.resize_tensor_input(self._input, shape, strict=True)
        interpreter.allocate_tensors()
        return interpreter


def _reason(exc: Exception) -> str:
    """LiteRT's words, in one line: they are for the log of whoever brought the model."""
    return " ".join(str(exc).split()) or type(exc).__name__


def _spec(tensor: dict[str, Any], real: bool) -> tuple[tuple[int, ...], str]:
    """Shape and dtype; the dtype of what the numbers stand for when they are quantised and `real` ones are meant."""
    dtype = "float32" if real and quantisation_of(tensor) else np.dtype(tensor["dtype"]).name
    return tuple(int(n) for n in tensor["shape_signature"]), dtype
