"""The ONNX engine: ONNX Runtime runs model.onnx on a GPU or the CPU, after onnx_check.py has checked it.

It turns images into the order, type and batch size of the model's input, so that its signature is that of the other
engines: channels last, float32 for every kind of real numbers.
"""

from __future__ import annotations

import io
import logging
import platform
import re
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from model.engines.base import Activations, Features, Images, Scores, Signature
from model.engines.gpu import CPU, gpu_name, why_unused
from model.engines.onnx_check import check_onnx
from model.engines.outputs import as_scores, width_of
from model.engines.signature_checks import check_images, check_model
from model.errors import ArtifactError

log = logging.getLogger(__name__)

# ONNX Runtime's names of what runs a model. Numbers of full precision give the same labels on both.
_CPU_PROVIDER, _GPU_PROVIDER = "CPUExecutionProvider", "CUDAExecutionProvider"
_GPU_OPTIONS = {"use_tf32": "0"}

# Images of one call, if the model takes any number of them. More need more memory and are not faster.
MAX_BATCH = 32

# Numpy's names of the types that ONNX Runtime names.
_DTYPES = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(double)": "float64",
    "tensor(uint8)": "uint8",
}

# Counts of channels. The edge of an input that has one of these sizes is its channels.
_CHANNELS = 1, 3

# Dimensions of an array; None where the file leaves them open.
Shape = tuple[int | None, ...]


@dataclass(frozen=True, slots=True)
class End:
    """An input or an output of a model: `shape` in the file's order, `dtype` by numpy's name or ONNX Runtime's own."""

    name: str
    shape: Shape
    dtype: str

    @property
    def is_real(self) -> bool:
        return self.dtype.startswith("float")

    @property
    def represented(self) -> str:
        """The dtype in a signature."""
        return "float32" if self.is_real else self.dtype

    @property
    def channels_first(self) -> bool | None:
        """Whether the channels of images come before their height and width; None when the shape does not tell."""
        if len(self.shape) != 4 or (self.shape[1] in _CHANNELS) == (self.shape[3] in _CHANNELS):
            return None
        return self.shape[1] in _CHANNELS

    @property
    def image_shape(self) -> Shape:
        """The shape of images [N, height, width, channels], whatever the file's order is."""
        if not self.channels_first:
            return self.shape
        count, channels, height, width = self.shape
        return count, height, width, channels

    @property
    def row_shape(self) -> Shape:
        """The shape without edges of length 1 at its end: [N, labels, 1, 1] are rows of scores."""
        shape = list(self.shape)
        while len(shape) > 2 and shape[-1] == 1:
            shape.pop()
        return tuple(shape)


def open_session(path: Path, threads: int = 1, *, gpu: bool = False) -> Any:
    """ONNX Runtime's session of a checked file; `threads`: CPU threads of one call. With `gpu` it uses one, if it can.

    Raises ArtifactError.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 4  # what is worse than a warning is raised as an exception, too
    options.add_session_config_entry("session.load_model_format", "ONNX")  # whatever the file's name is
    # A thread that waits for work must not take the time of other calls.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if _overflows():
        options.add_session_config_entry("session.x64quantprecision", "1")  # slower, and exact
    try:
        session = onnxruntime.InferenceSession(
            str(path),
            options,
            providers=[*([(_GPU_PROVIDER, _GPU_OPTIONS)] if gpu else []), _CPU_PROVIDER],
            enable_fallback=False,  # a second try would be the same, and prints lines
            read_config_from_model=0,  # whatever the environment says
        )
        session_ends(session)  # names that are not UTF-8 fail here
        return session
    except Exception as exc:  # ONNX Runtime's exceptions have no base class of their own
        raise ArtifactError(f"{path} is not a model that ONNX Runtime can load: {runtime_reason(exc)}") from exc


def _overflows() -> bool:
    """Whether sums of products of int8 numbers may overflow: on x86 processors without instructions for them (VNNI)."""
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return False
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            return not any("vnni" in line for line in takewhile(str.strip, lines))  # of the first processor
    except OSError:  # another system, which is not asked
        return True


def offers_gpu() -> bool:
    """Whether the installed ONNX Runtime can use a GPU, with its libraries loaded; there need not be one."""
    import onnxruntime

    if _GPU_PROVIDER not in onnxruntime.get_available_providers():
        return False
    with redirect_stdout(io.StringIO()):  # it prints what it cannot load; why_unused() says it
        onnxruntime.preload_dlls()
    return True


def device_of(session: Any) -> str:
    """The device that runs a session's model."""
    return gpu_name() if _GPU_PROVIDER in session.get_providers() else CPU


def session_ends(session: Any) -> tuple[list[End], list[End]]:
    """The inputs and the outputs of a session's model."""
    inputs, outputs = (
        [End(each.name, _shape(each.shape), _DTYPES.get(each.type, each.type)) for each in ends]
        for ends in (session.get_inputs(), session.get_outputs())
    )
    return inputs, outputs


def runtime_reason(exc: Exception) -> str:
    """ONNX Runtime's error message in one line, without its code, and the place and the function in its source."""
    text = " ".join(str(exc).split()) or type(exc).__name__
    text = re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : |Load model from .*? failed: ?|/onnxruntime_src/\S+ ", "", text)
    return re.sub(r"^(?:[\w:]+ )?onnxruntime::[\w:~]+\(.*?\)(?: const)? (?=[A-Z])", "", text)


class OnnxModel:
    """A session, and the input and the output of it that are used. Callable from any thread."""

    def __init__(self, session: Any, given: End, made: End) -> None:
        self._session, self._given, self._made = session, given, made

    def run(self, images: Images) -> npt.NDArray[np.float32]:
        """The model's numbers [N, any] for images [N, height, width, channels]."""
        step = self._given.shape[0] or MAX_BATCH
        parts = [self._run(images[start : start + step]) for start in range(0, len(images), step)]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _run(self, images: Images) -> npt.NDArray[np.float32]:
        given = as_input(images, self._given)
        (made,) = self._session.run([self._made.name], {self._given.name: given})
        scores = np.asarray(made, np.float32)
        if scores.shape[:1] != given.shape[:1]:
            raise ValueError(f"it gives {list(scores.shape)} for {len(given)} images; each image must have one row")
        return scores.reshape(len(given), -1)[: len(images)]


class OnnxEngine:
    """Scores with ONNX Runtime, on a GPU where the package onnxruntime-gpu finds one; else a warning says why not. It
    runs calls from several threads in parallel.

    `threads`: CPU threads of one call. Raises ArtifactError when the file is not a model, does not match `signature`,
    or holds an operator that is not ONNX's own.
    """

    def __init__(self, path: Path, signature: Signature, threads: int = 1) -> None:
        check_onnx(path)
        gpu = offers_gpu()
        session = open_session(path, threads, gpu=gpu)
        self.device = device_of(session)
        if gpu and self.device == CPU:
            log.warning("ONNX Runtime scores on the CPU, although it could use a GPU: %s", why_unused())
        inputs, outputs = session_ends(session)
        images = signature.height, signature.width, signature.channels
        row = (width_of(signature.outputs, len(signature.labels)),)
        check_model(
            path,
            signature,
            [(_filled(end.image_shape, images), end.represented) for end in inputs],
            [(_filled(end.row_shape, row), end.represented) for end in outputs],
        )
        self._model = OnnxModel(session, inputs[0], outputs[0])
        self.signature = signature
        self._closed = False

    def score(self, images: Images, /) -> Scores:
        self._check(images)
        return as_scores(self.signature.outputs, self._model.run(images))

    def activations(self, images: Images, /) -> Activations | None:
        """None: an ONNX file has no activation maps."""
        self._check(images)
        return None

    def features(self, images: Images, /) -> Features | None:
        """None: ONNX Runtime gives only what the file names as its outputs."""
        self._check(images)
        return None

    def close(self) -> None:
        self._closed = True

    def _check(self, images: Images) -> None:
        check_images(images, self.signature)
        if self._closed:
            raise RuntimeError("the engine is closed")


def as_input(images: Images, end: End) -> npt.NDArray[Any]:
    """Images [N, height, width, channels] as a model takes them, with black ones up to its fixed batch size."""
    if end.channels_first:
        images = images.transpose(0, 3, 1, 2)
    if end.shape[0] and len(images) < end.shape[0]:
        padding = np.zeros((end.shape[0] - len(images), *images.shape[1:]), images.dtype)
        images = np.concatenate([images, padding])
    return np.ascontiguousarray(images, end.dtype)


def _shape(shape: Sequence[Any]) -> Shape:
    """A shape as ONNX Runtime gives it: open dimensions are names, None or 0 and less."""
    return tuple(edge if isinstance(edge, int) and edge > 0 else None for edge in shape)


def _filled(shape: Shape, row: tuple[int, ...]) -> Shape:
    """The shape of a batch, with its open dimensions as in `row`, those of one image."""
    if len(shape) != 1 + len(row):
        return shape
    return (shape[0], *(edge or wanted for edge, wanted in zip(shape[1:], row, strict=True)))
